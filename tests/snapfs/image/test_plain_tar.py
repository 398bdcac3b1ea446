from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
import zstandard

from snapfs.errors import (
    DataLossError,
    DigestMismatchError,
    InvalidArgumentError,
    NotFoundError,
)
from snapfs.image.plain_tar import open_tar
from snapfs.image.platform import parse_platform
from snapfs.image.resolve import open_image
from snapfs.image.verified import open_verified
from support.image_files import digest, plain, small_layers

_LAYER = small_layers()[0]
_PLAIN = plain(_LAYER)


@pytest.mark.parametrize(
    ("content", "ending"),
    [
        pytest.param(_PLAIN, ".tar", id="plain"),
        pytest.param(_LAYER.blob, "+gzip", id="gzip"),
        pytest.param(zstandard.compress(_PLAIN), "+zstd", id="zstd"),
    ],
)
@pytest.mark.parametrize("platform", [None, "linux/s390x"])
def test_a_tar_is_an_image_of_one_layer_for_any_platform(
    tmp_path: Path, content: bytes, ending: str, platform: str | None
) -> None:
    path = tmp_path / "layer"
    path.write_bytes(content)

    with open_tar("tar:layer", str(path)) as source:
        image = open_image(source, parse_platform(platform) if platform else None)
        (layer,) = image.layers
        reader = open_verified(source, layer.descriptor)
        read = reader.read(1 << 20)
        reader.close()

    assert read == content
    assert layer.descriptor.media_type.endswith(ending)
    assert str(layer.descriptor.digest) == digest(content)
    assert str(layer.diff_id) == _LAYER.diff_id
    assert layer.chain_id == layer.diff_id


def test_a_tar_that_changes_after_it_was_opened_is_found(tmp_path: Path) -> None:
    path = tmp_path / "layer.tar"
    path.write_bytes(_PLAIN)

    with open_tar("tar:layer", str(path)) as source:
        (layer,) = open_image(source).layers
        path.write_bytes(_PLAIN[:-1] + b"\1")
        with pytest.raises(DigestMismatchError):
            open_verified(source, layer.descriptor).finish()


def test_a_damaged_compressed_tar_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "layer.tar.gz"
    path.write_bytes(_LAYER.blob[:-20])

    with open_tar("tar:layer", str(path)) as source, pytest.raises(DataLossError):
        open_image(source)


def test_a_tar_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no file"):
        open_tar("tar:nowhere", str(tmp_path / "nowhere"))


def test_a_pipe_is_read_to_its_end_like_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(_LAYER.blob,), daemon=True)
    writer.start()

    with open_tar("tar:pipe", str(pipe)) as source:
        image = open_image(source, None)
        (layer,) = image.layers
        reader = open_verified(source, layer.descriptor)
        read = reader.read(1 << 20)
        reader.close()

    writer.join()
    assert read == _LAYER.blob
    assert str(layer.diff_id) == digest(_PLAIN)


def test_what_is_neither_file_nor_pipe_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="'/dev/zero' is not a file"):
        open_tar("tar:/dev/zero", "/dev/zero")
