"""One layer written to a function: what it tells, and how it ends early."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from snapfs.errors import FailedPreconditionError, UnavailableError
from snapfs.export.config import Step
from snapfs.export.layer_blob import write_layer_blob
from snapfs.export.layer_source import DirectoryLayer
from snapfs.export.settings import ExportSettings
from snapfs.overlay_format import XattrPrefix
from snapfs.stopping import Stop


@pytest.fixture
def source(tmp_path: Path) -> DirectoryLayer:
    (tmp_path / "layer").mkdir()
    (tmp_path / "layer/large").write_bytes(os.urandom(2 << 20))
    directory = str(tmp_path / "layer")
    return DirectoryLayer("a layer", Step(None, ""), directory, XattrPrefix.USER)


def test_what_was_written_is_told_as_it_grows(source: DirectoryLayer) -> None:
    stored = bytearray()
    told: list[tuple[str, int]] = []

    written = write_layer_blob(
        source,
        ExportSettings(threads=2),
        stored.extend,
        Stop(),
        lambda label, size: told.append((label, size)),
    )

    assert written.blob.digest.hex == hashlib.sha256(stored).hexdigest()
    assert told[-1] == ("a layer", len(stored))
    assert {label for label, _ in told} == {"a layer"}
    sizes = [size for _, size in told]
    assert len(sizes) > 5
    assert sizes == sorted(sizes)


def test_who_is_asked_to_stop_stops_in_the_middle(source: DirectoryLayer) -> None:
    stop = Stop("the export")
    stored = bytearray()

    def write(data: bytes) -> None:
        stored.extend(data)
        if len(stored) > 500_000:
            stop.ask()

    with pytest.raises(UnavailableError, match="the export was stopped"):
        write_layer_blob(source, ExportSettings(), write, stop)

    assert len(stored) < 1 << 20


def test_errors_name_the_layer(source: DirectoryLayer, tmp_path: Path) -> None:
    (tmp_path / "layer/.wh.name").touch()

    with pytest.raises(FailedPreconditionError, match=r"a layer: '\.wh\.name' cannot"):
        write_layer_blob(source, ExportSettings(), lambda _: None, Stop())
