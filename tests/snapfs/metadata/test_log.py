"""The log of transactions has its final size from the start, and loses nothing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from snapfs.metadata import MetadataStore
from support.rows import STORE_ID, active, committed, opened


def log_size(path: Path) -> int:
    return os.stat(f"{path}-wal").st_size


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metadata.db"


def test_a_preallocated_log_never_grows(path: Path) -> None:
    with opened(path) as metadata:
        metadata.preallocate_log()
        size = log_size(path)
        base = committed(metadata, "base")
        for number in range(600):  # more than one checkpoint's worth
            active(metadata, f"a{number}", base)

        assert size > 4 << 20
        assert log_size(path) == size


def test_what_was_written_before_and_after_it_survives_a_crash(
    path: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    with opened(path) as metadata:
        base = committed(metadata, "before")
        metadata.preallocate_log()
        active(metadata, "after", base)
        for name in os.listdir(tmp_path):
            if name.startswith("metadata.db"):
                shutil.copy(tmp_path / name, copy)

    with opened(copy / "metadata.db") as metadata:
        assert {row.key for row in metadata.rows()} == {"before", "after"}
        assert metadata.integrity_errors() == []


def test_a_second_time_changes_nothing(path: Path) -> None:
    with opened(path) as metadata:
        metadata.preallocate_log()
        committed(metadata, "base")
        before = Path(f"{path}-wal").read_bytes()

        metadata.preallocate_log()

        assert Path(f"{path}-wal").read_bytes() == before


def test_a_nearly_full_disk_keeps_its_space(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nearly_full = SimpleNamespace(f_bavail=2000, f_frsize=4096)  # 8 MB
    with opened(path) as metadata:
        before = log_size(path)
        monkeypatch.setattr(os, "fstatvfs", lambda _descriptor: nearly_full)

        metadata.preallocate_log()

        assert log_size(path) == before


def test_a_write_that_fails_leaves_the_log_as_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_some(descriptor: int, content: bytes, offset: int) -> int:
        return write(descriptor, content[:4096], offset)

    write = os.pwrite
    with opened(path) as metadata:
        before = log_size(path)
        monkeypatch.setattr(os, "pwrite", write_some)

        metadata.preallocate_log()

        assert log_size(path) == before
        committed(metadata, "base")

    with opened(path) as metadata:
        assert [row.key for row in metadata.rows()] == ["base"]


def test_no_log_is_no_error(tmp_path: Path) -> None:
    with opened(tmp_path / "metadata.db") as metadata:
        metadata.preallocate_log()

    again = MetadataStore.open(str(tmp_path / "metadata.db"), STORE_ID)
    try:
        assert again.rows() == []
    finally:
        again.close()
