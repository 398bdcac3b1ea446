"""Images read out of a real containerd's content store."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from demo.make_image import make_layer, text
from snapfs.errors import NotFoundError
from snapfs.image.oci_archive import open_oci_archive
from snapfs.image.resolve import Image, open_image
from snapfs.image.source import ImageSource
from snapfs.image.verified import open_verified
from snapfs.remote.containerd_blobs import PIECE_BYTES
from snapfs.remote.containerd_images import ContainerdImageSource
from support.containerd import Containerd, Generation
from support.images import IMAGE, image_layers, write_archive
from support.sandbox import Sandbox

pytestmark = [pytest.mark.root, pytest.mark.containerd, pytest.mark.slow]


@pytest.fixture
def containerd(sandbox: Sandbox, generation: Generation) -> Containerd:
    """A running containerd with a snapshotter of its own."""
    return Containerd(sandbox, generation, "native")


@pytest.fixture
def socket(sandbox: Sandbox) -> str:
    return str(sandbox.home / "containerd.sock")


@pytest.fixture(scope="session")
def large_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image whose last layer is longer than a piece."""
    noise = "".join(f"{hash((number, 'x')):x}" for number in range(200_000))
    layers = [*image_layers(), make_layer("ADD noise", [text("noise", noise)])]
    assert len(layers[-1].blob) > PIECE_BYTES
    return write_archive(
        tmp_path_factory.mktemp("images") / "large.tar", layers, "snapfs.test/large:1"
    )


def blobs(source: ImageSource, image: Image) -> list[bytes]:
    """Return the image's config and layers, each verified."""
    got = []
    for descriptor in (image.manifest.config, *image.manifest.layers):
        with closing(open_verified(source, descriptor)) as reader:
            got.append(b"".join(iter(partial(reader.read, 1 << 20), b"")))
    return got


def test_image_is_the_one_that_was_imported(
    containerd: Containerd, socket: str, large_archive: Path
) -> None:
    name = "snapfs.test/large:1"
    containerd.ctr("images", "import", "--no-unpack", large_archive)

    with (
        ContainerdImageSource(socket, "default", name) as source,
        open_oci_archive("archive", str(large_archive), "") as archive,
    ):
        image, expected = open_image(source), open_image(archive)

        assert image.layers == expected.layers
        assert blobs(source, image) == blobs(archive, expected)


def test_reading_goes_on_after_containerd_was_restarted(
    containerd: Containerd, socket: str, large_archive: Path
) -> None:
    containerd.ctr("images", "import", "--no-unpack", large_archive)

    with ContainerdImageSource(socket, "default", "snapfs.test/large:1") as source:
        layer = open_image(source).manifest.layers[-1]
        with closing(open_verified(source, layer)) as reader:
            reader.read(PIECE_BYTES)
            containerd.restart()
            reader.finish()

            assert reader.is_verified


def test_images_are_those_of_the_namespace(
    containerd: Containerd, socket: str, archive: Path
) -> None:
    containerd.ctr("images", "import", "--no-unpack", archive, namespace="k8s.io")
    containerd.ctr("images", "tag", IMAGE, "docker.io/library/a:b", namespace="k8s.io")

    with ContainerdImageSource(socket, "k8s.io", "a:b") as source:
        assert len(open_image(source).layers) == 3
    with (
        ContainerdImageSource(socket, "default", "a:b") as source,
        pytest.raises(NotFoundError, match=r"k8s\.io has it"),
    ):
        source.root()
    with (
        ContainerdImageSource(socket, "k8s.io", "a:c") as source,
        pytest.raises(NotFoundError, match=r"did you mean docker\.io/library/a:b"),
    ):
        source.root()


def test_blob_that_containerd_has_not_fetched_is_named(
    containerd: Containerd, socket: str, archive: Path
) -> None:
    containerd.ctr("images", "import", "--no-unpack", archive)

    with ContainerdImageSource(socket, "default", IMAGE) as source:
        layer = open_image(source).manifest.layers[0]
        containerd.ctr("content", "rm", str(layer.digest))

        with pytest.raises(NotFoundError, match=str(layer.digest)):
            source.open_blob(layer)
