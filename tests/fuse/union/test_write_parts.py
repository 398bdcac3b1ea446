"""The parts of changes by themselves: inherited ACLs, copied data."""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs.fuse.union import acl
from snapfs.fuse.union.caller import Caller
from snapfs.fuse.union.file_data import FileCopier, write_all

_DATA = bytes(range(251)) * 9000


def _packed(*entries: tuple[int, int, int]) -> bytes:
    return b"\2\0\0\0" + b"".join(struct.pack("<HHI", *entry) for entry in entries)


_PLAIN = _packed((1, 7, 0xFFFFFFFF), (4, 5, 0xFFFFFFFF), (32, 4, 0xFFFFFFFF))


def test_without_a_default_acl_the_umask_counts() -> None:
    inherited = acl.inherit(None, stat.S_IFREG | 0o666, 0o027)
    assert inherited == (stat.S_IFREG | 0o640, None, None)


def test_a_plain_default_acl_replaces_the_umask() -> None:
    inherited = acl.inherit(_PLAIN, stat.S_IFREG | 0o4666, 0o777)
    assert inherited == (stat.S_IFREG | 0o4644, None, None)


def test_a_directory_passes_the_default_acl_on() -> None:
    inherited = acl.inherit(_PLAIN, stat.S_IFDIR | 0o777, 0o777)
    assert inherited == (stat.S_IFDIR | 0o754, None, _PLAIN)


def test_a_link_inherits_nothing() -> None:
    assert acl.inherit(_PLAIN, stat.S_IFLNK | 0o777, 0)[1:] == (None, None)


@pytest.mark.parametrize("damaged", [b"", b"\1\0\0\0", b"\2\0\0\0123"])
def test_a_damaged_acl_is_an_error(damaged: bytes) -> None:
    with pytest.raises(OSError, match="damaged") as caught:
        acl.inherit(damaged, stat.S_IFREG, 0)
    assert caught.value.errno == errno.EIO


@pytest.fixture
def files(tmp_path: Path) -> Iterator[tuple[int, int]]:
    (tmp_path / "source").write_bytes(_DATA)
    source = os.open(tmp_path / "source", os.O_RDONLY)
    target = os.open(tmp_path / "target", os.O_RDWR | os.O_CREAT)
    yield source, target
    os.close(source)
    os.close(target)


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP])
def test_what_the_kernel_does_not_copy_is_read_and_written(
    files: tuple[int, int], monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_args: int) -> int:
        raise OSError(code, "not here")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    source, target = files
    FileCopier().copy(source, os.fstat(source), target, len(_DATA))
    assert os.pread(target, len(_DATA) + 1, 0) == _DATA


def test_an_error_of_the_disk_ends_the_copy(
    files: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: int) -> int:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "copy_file_range", fail)
    source, target = files
    with pytest.raises(OSError, match="broken"):
        FileCopier().copy(source, os.fstat(source), target, len(_DATA))


def test_a_source_that_has_shrunk_is_an_error(
    tmp_path: Path, files: tuple[int, int]
) -> None:
    source, target = files
    status = os.fstat(source)
    os.truncate(tmp_path / "source", 1000)
    with pytest.raises(OSError, match="shorter") as caught:
        FileCopier().copy(source, status, target, len(_DATA))
    assert caught.value.errno == errno.EIO


def test_a_short_write_goes_on(
    files: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: real(fd, data[:7], at))
    _, target = files
    assert write_all(target, b"0123456789abcdef", 3) == 16
    assert os.pread(target, 99, 0) == b"\0\0\x000123456789abcdef"


def test_a_write_that_fails_midway_tells_how_far_it_came(
    files: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.pwrite

    def pwrite(fd: int, data: bytes, offset: int) -> int:
        if offset:
            raise OSError(errno.ENOSPC, "full")
        return real(fd, data[:4], offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    assert write_all(files[1], b"0123456789", 0) == 4


def test_a_caller_is_read_from_its_process() -> None:
    ours = Caller(os.getuid(), os.getgid(), os.getpid())
    assert set(ours.groups()) == {os.getgid(), *os.getgroups()}
    gone = Caller(1, 2, 0)
    assert gone.groups() == (2,)
    assert not gone.has_admin()
