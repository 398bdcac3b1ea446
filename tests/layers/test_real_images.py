"""Images like real ones: all metadata, entry by entry, beside other programs."""

from __future__ import annotations

import dataclasses
import functools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from layers.peers import PEERS, running_peer
from layers.unpacked import ImageStore

from snapfs.overlay_format import XattrPrefix
from support.layouts import LayoutWriter
from support.observer import Observer
from support.real_images import LARGE, SMALL, build_image
from support.reference_unpack import unpack_by_tar
from support.sandbox import REPOSITORY
from support.tree_metadata import Tree, compare, read_metadata

pytestmark = pytest.mark.root

IMAGES = [
    *(pytest.param(name, id=name) for name in SMALL),
    *(pytest.param(name, id=name, marks=pytest.mark.full) for name in LARGE),
]
# They know no members of type S, which GNU tar writes by default.
REFUSED = {"snapfs.test/gnu-sparse:latest"}
_WORKER_BYTES = 200_000_000
"""What DESIGN allows one process that unpacks."""


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], LayoutWriter]:
    """Builds an image by its name, once for all tests, which only read it."""

    @functools.cache
    def built(name: str) -> LayoutWriter:
        return build_image(name, tmp_path_factory.mktemp("image") / "layout")

    return built


@pytest.fixture
def image(
    request: pytest.FixtureRequest, build: Callable[[str], LayoutWriter]
) -> LayoutWriter:
    return build(request.param)


def without_directory_times(tree: Tree) -> Tree:
    return {
        path: dataclasses.replace(entry, mtime_ns=0)
        if entry.type == "directory"
        else entry
        for path, entry in tree.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("images", [XattrPrefix.TRUSTED], indirect=True)
@pytest.mark.parametrize("image", IMAGES, indirect=True)
def test_an_image_is_what_tar_unpacks(
    images: ImageStore, observer: Observer, image: LayoutWriter, tmp_path: Path
) -> None:
    unpack_by_tar(image.path, tmp_path / "reference")

    unpacked = images.unpack(image.path)

    expected = read_metadata(bytes(tmp_path / "reference"))
    assert compare(images.view(unpacked.name, observer), expected) == []
    assert images.store.check() == []


@pytest.mark.slow
@pytest.mark.containerd
@pytest.mark.parametrize("images", [XattrPrefix.TRUSTED], indirect=True)
@pytest.mark.parametrize("peer_name", PEERS)
@pytest.mark.parametrize("image", IMAGES, indirect=True)
def test_an_image_is_what_peers_unpack(
    images: ImageStore,
    observer: Observer,
    image: LayoutWriter,
    peer_name: str,
    tmp_path: Path,
) -> None:
    with running_peer(peer_name, tmp_path, observer) as peer:
        theirs = peer.unpack(image)

    unpacked = images.unpack(image.path)

    if image.name in REFUSED:
        assert theirs is None
        return
    assert theirs is not None
    ours = images.view(unpacked.name, observer)
    if peer_name == "umoci":
        assert compare(ours, theirs) == []
    else:
        # containerd gives the root and unnamed directories the time of unpacking.
        left, right = without_directory_times(ours), without_directory_times(theirs)
        assert compare(left, right) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "image",
    [
        "2000-files",
        "20-megabytes",
        pytest.param("100000-files", marks=pytest.mark.full),
        pytest.param("2-gigabytes", marks=pytest.mark.full),
    ],
    indirect=True,
)
def test_the_memory_for_an_image_is_bounded(
    image: LayoutWriter, tmp_path: Path
) -> None:
    words = (sys.executable, "-m", "layers.measured_unpack", tmp_path / "root")

    done = subprocess.run(
        (*words, image.path),
        cwd=REPOSITORY,
        env={"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'tests'}"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert int(done.stdout) < _WORKER_BYTES


@pytest.mark.parametrize("images", [XattrPrefix.TRUSTED], indirect=True)
@pytest.mark.parametrize("image", ["gnu-sparse", "mixed"], indirect=True)
def test_sparse_files_stay_sparse(images: ImageStore, image: LayoutWriter) -> None:
    unpacked = images.unpack(image.path)

    details = images.store.details(unpacked.name)
    layers = (details.content, *details.lowerdirs)
    [sparse] = [file for layer in layers for file in Path(layer).glob("sparse-*")]
    status = sparse.stat()
    assert status.st_size == 9 << 20
    assert status.st_blocks * 512 < 1 << 20
