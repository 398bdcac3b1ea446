"""Hostile image documents and blobs, through the whole path into a store."""

from __future__ import annotations

import gzip
import itertools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from attack.documents import HOSTILE_DOCUMENTS, changed
from attack.unpacking import Unpacking, layer_of

from snapfs.errors import (
    DataLossError,
    DigestMismatchError,
    InvalidArgumentError,
    SnapfsError,
    UnimplementedError,
    UnsafeLayerError,
)
from snapfs.image.opening import open_source
from snapfs.image.recognise import Scheme
from snapfs.image.reference import FileReference
from snapfs.layer.limits import Limits, Policy
from support.hostile_layers import contained, file
from support.image_files import (
    Files,
    as_json,
    blob_path,
    classic_files,
    digest,
    write_tar,
)

_NUMBERS: Final = itertools.count()
_MIB: Final = 1 << 20


def _new_tar() -> bytes:
    """Return a layer that no store has yet: nothing of it is reused."""
    body = b"%d" % next(_NUMBERS)
    return contained("new", file(b"f", body), shows={}).tar(Path("/"))


_TAR: Final = _new_tar()


@pytest.mark.parametrize(
    ("spoil", "error", "says"),
    [pytest.param(*c[1:], id=c[0]) for c in HOSTILE_DOCUMENTS],
)
def test_a_hostile_document_is_refused(
    attacked: Unpacking,
    spoil: Callable[[Files], None],
    error: type[SnapfsError],
    says: str,
) -> None:
    outcome = attacked.layers(layer_of(_new_tar()), spoil=spoil)

    assert isinstance(outcome, error), repr(outcome)
    assert says in str(outcome)
    assert "evil" in str(outcome)  # the image
    assert str(outcome).isprintable()
    assert len(str(outcome)) < 2000


_GZIP: Final = gzip.compress(_TAR, mtime=0)


@pytest.mark.parametrize(
    ("blob", "error", "says"),
    [
        pytest.param(_GZIP[:-4], DataLossError, "gzip", id="gzip without its size"),
        pytest.param(_GZIP[:-8], DataLossError, "gzip", id="gzip without its trailer"),
        pytest.param(_GZIP[:40], DataLossError, "gzip", id="gzip cut short"),
        pytest.param(
            _GZIP[:-8] + b"evil" + _GZIP[-4:], DataLossError, "gzip", id="gzip CRC"
        ),
        pytest.param(_GZIP + b"junk", DataLossError, "gzip", id="junk after gzip"),
        pytest.param(
            _GZIP + b"\0" * 512 + _GZIP, DataLossError, "gzip", id="gzip after padding"
        ),
        pytest.param(
            _GZIP + _GZIP, DigestMismatchError, "diff ID", id="gzip member too many"
        ),
        pytest.param(
            b"\xfd7zXZ\0" + bytes(99), UnimplementedError, "xz", id="compressed by xz"
        ),
        pytest.param(
            b"BZh91AY&SY" + bytes(99), UnimplementedError, "bzip2", id="by bzip2"
        ),
        pytest.param(b"", DigestMismatchError, "diff ID", id="nothing"),
        pytest.param(
            b"\x28\xb5\x2f\xfd\x00\xa8\x01\0\0", UnsafeLayerError, "window", id="window"
        ),
        pytest.param(
            b"\x28\xb5\x2f\xfd\x00\x10", DataLossError, "zstd", id="zstd cut short"
        ),
        pytest.param(
            b"\x50\x2a\x4d\x18\xff\xff\xff\xff", DataLossError, "zstd", id="skippable"
        ),
    ],
)
def test_a_damaged_blob_is_refused(
    attacked: Unpacking, blob: bytes, error: type[SnapfsError], says: str
) -> None:
    layer = layer_of(_TAR, blob)

    outcome = attacked.layers(layer)

    assert type(outcome) is error, repr(outcome)
    assert says in str(outcome) or says == "zstd"
    assert f"layer {digest(blob)}" in str(outcome)


def test_labels_of_an_image_control_nothing(attacked: Unpacking) -> None:
    labels = {
        "containerd.io/snapshot.ref": "a-label-of-the-image",
        "containerd.io/gc.root": "a-label-of-the-image",
        "snapfs.io/diff-id": "a-label-of-the-image",
    }
    layer = layer_of(contained("l", file(b"g", b"in"), shows={}).tar(Path("/")))

    outcome = attacked.layers(
        layer, spoil=changed(config=lambda c: c["config"].update(Labels=labels))
    )

    assert outcome == {"g": "file in"}
    assert "a-label-of-the-image" not in str(attacked.labels_of(layer.diff_id))


def _docker_archive(path: Path, links: dict[str, str], layer_name: str) -> Path:
    """Write an archive whose only layer is behind a name of the attacker's."""
    files = classic_files([layer_of(_TAR)])
    [entry] = json.loads(files["manifest.json"])
    if layer_name not in files:
        del files[entry["Layers"][0]]
    entry["Layers"] = [layer_name]
    files["manifest.json"] = as_json([entry])
    return write_tar(path, files, links)


@pytest.mark.parametrize(
    ("links", "layer_name"),
    [
        pytest.param({"layer.tar": "@HOST/file"}, "layer.tar", id="symlink outside"),
        pytest.param({"layer.tar": "/etc/passwd"}, "layer.tar", id="symlink to /etc"),
        pytest.param({"a/layer.tar": "../../x"}, "a/layer.tar", id="symlink above"),
        pytest.param({"layer.tar": "layer.tar"}, "layer.tar", id="symlink to itself"),
        pytest.param({"a": "b", "b": "a"}, "a", id="loop of symlinks"),
        pytest.param({}, "/etc/passwd", id="absolute path"),
        pytest.param({}, "../../../../../../etc/passwd", id="path up and out"),
    ],
)
def test_a_docker_archive_reads_nothing_outside(
    attacked: Unpacking, tmp_path: Path, links: dict[str, str], layer_name: str
) -> None:
    aimed = {k: v.replace("@HOST", str(attacked.canaries)) for k, v in links.items()}
    archive = _docker_archive(tmp_path / "evil.tar", aimed, layer_name)
    reference = FileReference(Scheme.DOCKER_ARCHIVE, str(archive))

    with open_source(reference, str(tmp_path)) as source:
        outcome = attacked.watched(source, Limits(), Policy())

    assert isinstance(outcome, SnapfsError)
    assert Path(layer_name).name in str(outcome) or "link" in str(outcome)


def test_a_pipe_in_the_place_of_a_blob_does_not_hang(
    attacked: Unpacking, tmp_path: Path
) -> None:
    layer = layer_of(_new_tar())

    def spoil(files: Files) -> None:
        del files[blob_path(layer.blob)]
        files["hold"] = b""

    # Made where the layout will be: the blob's directory exists by then.
    outcome = attacked.layers(
        layer, spoil=spoil, also=lambda image: os.mkfifo(image / blob_path(layer.blob))
    )

    assert isinstance(outcome, InvalidArgumentError)
    assert "is not a file" in str(outcome)
