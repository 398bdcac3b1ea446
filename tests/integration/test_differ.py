"""containerd 2.x unpacks images by snapfs: as its snapshotter, and as its differ."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.make_image import Entry, Layer, make_layer
from support.containerd import Containerd, Generation, require_generation
from support.differed import presented, were_applied_by_us
from support.images import HELLO, IMAGE, chain_ids, image_layers, write_archive
from support.sandbox import Sandbox, wait_until
from support.snapfs_program import PROXY_NAME, SnapfsProgram
from support.trees import differences

pytestmark = [pytest.mark.root, pytest.mark.containerd, pytest.mark.slow]

BLOBS = "containerd/io.containerd.content.v1.content/blobs/sha256"


@pytest.fixture
def generation() -> Generation:
    """Version 1.6 knows no differs but its own."""
    return require_generation("built")


@pytest.fixture
def snapfs(request: pytest.FixtureRequest, sandbox: Sandbox) -> Iterator[SnapfsProgram]:
    program = SnapfsProgram(sandbox)
    if "socket" in request.node.name:
        program.containerd_root = "elsewhere"
    program.serve()
    yield program
    assert program.records("check", "--deep") == []


@pytest.mark.parametrize("way", ["files", "socket", "files --local"])
def test_an_import_is_unpacked_by_us(
    containerd: Containerd, snapfs: SnapfsProgram, archive: Path, way: str
) -> None:
    diff_ids = [layer.diff_id for layer in image_layers()]

    containerd.import_image(archive, options=tuple(way.split()[1:]))

    assert were_applied_by_us(snapfs, diff_ids)
    listed = {row.key for row in containerd.list_snapshots()}
    assert listed == set(chain_ids(image_layers()))
    assert containerd.run(IMAGE, "hello", options=("--rm",)) == HELLO


def test_the_result_is_that_of_overlayfs_and_its_own_differ(
    containerd: Containerd, snapfs: SnapfsProgram, archive: Path
) -> None:
    containerd.import_image(archive)
    top = chain_ids(image_layers())[-1]
    ours = presented(containerd, top, "default")

    containerd.snapshotter = "overlayfs"
    containerd.import_image(archive, namespace="other")
    theirs = presented(containerd, top, "other")

    assert differences(ours, theirs) == []


def blob_hex(layer: Layer) -> str:
    return hashlib.sha256(layer.blob).hexdigest()


def damaged(containerd: Containerd, layer: Layer) -> None:
    """Change a byte in the middle of a blob of containerd's content store."""
    name = blob_hex(layer)
    path = containerd.sandbox.home / BLOBS / name
    blob = bytearray(path.read_bytes())
    blob[len(blob) // 2] ^= 1
    path.write_bytes(blob)


def test_a_damaged_blob_is_named_and_nothing_stays(
    containerd: Containerd, snapfs: SnapfsProgram, archive: Path
) -> None:
    containerd.ctr("images", "import", "--no-unpack", archive)
    damaged_layer = image_layers()[1]
    damaged(containerd, damaged_layer)

    done = containerd.try_ctr("run", "--snapshotter", PROXY_NAME, IMAGE, "never")
    containerd.remove_everything()

    assert done.returncode != 0
    assert blob_hex(damaged_layer) in done.stderr
    wait_until(snapfs.is_empty, "an empty store")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image whose second layer takes a while."""
    chunk = os.urandom(100_000)
    files = [Entry(f"data/{number}", chunk) for number in range(500)]
    layers = [image_layers()[0], make_layer("many files", files)]
    return write_archive(tmp_path_factory.mktemp("large") / "image.tar", layers)


def begun(snapfs: SnapfsProgram) -> bool:
    """Tell whether a layer of files is being written."""
    return any(snapfs.root.glob("snapshots/*/fs/data/50"))


@pytest.mark.parametrize("victim", ["client", "service"])
def test_an_unpack_that_is_cut_off_leaves_nothing_and_can_be_repeated(
    containerd: Containerd, snapfs: SnapfsProgram, large: Path, victim: str
) -> None:
    client = containerd.start_ctr(
        *("images", "import", "--snapshotter", PROXY_NAME, large)
    )
    wait_until(lambda: begun(snapfs), "the first files")
    if victim == "client":
        client.kill()
    else:
        snapfs.kill()
        client.wait()
        snapfs.serve()

    containerd.import_image(large)
    listing = containerd.run(IMAGE, "count", "ls", "/data", options=("--rm",))
    # A client that is killed leaves its lease, for a day.
    for lease in containerd.ctr("leases", "ls", "--quiet").split():
        containerd.ctr("leases", "rm", lease)
    containerd.remove_everything()

    assert len(listing.split()) == 500
    wait_until(snapfs.is_empty, "an empty store")
