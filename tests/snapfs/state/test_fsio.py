"""Durable file operations: which sync is made where."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from snapfs import syscalls
from snapfs.state import fsio

TMPFS_MAGIC = 0x01021994


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    made: list[str] = []
    write_out, fdatasync = syscalls.write_out, os.fdatasync

    def counted_write_out(descriptor: int) -> None:
        made.append("write_out")
        write_out(descriptor)

    def counted_fdatasync(descriptor: int) -> None:
        made.append("fdatasync")
        fdatasync(descriptor)

    monkeypatch.setattr(syscalls, "write_out", counted_write_out)
    monkeypatch.setattr(os, "fdatasync", counted_fdatasync)
    return made


def settle(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.pwrite(descriptor, b"changed", 0)
        fsio.settle_with_next_sync(descriptor)
    finally:
        os.close(descriptor)


def test_a_filesystem_that_overwrites_in_place_needs_no_flush_of_its_own(
    tmp_path: Path, calls: list[str]
) -> None:
    if syscalls.statfs_type(str(tmp_path)) not in fsio._OVERWRITES_IN_PLACE:
        pytest.skip("the temporary directory is neither on ext4 nor on XFS")

    settle(tmp_path / "file")

    assert calls == ["write_out"]
    assert (tmp_path / "file").read_bytes() == b"changed"


def test_any_other_filesystem_gets_a_sync(calls: list[str]) -> None:
    shared = Path("/dev/shm")
    if not shared.is_dir() or syscalls.statfs_type(str(shared)) != TMPFS_MAGIC:
        pytest.skip("there is no tmpfs at /dev/shm")
    path = shared / f"snapfs-test-{os.getpid()}"

    try:
        settle(path)
    finally:
        path.unlink()

    assert calls == ["fdatasync"]
