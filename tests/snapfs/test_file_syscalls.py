"""System calls on files, each against what the standard library shows."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs import file_syscalls
from snapfs.file_syscalls import UTIME_NOW, UTIME_OMIT


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def test_set_times_leaves_a_time_alone(tmp_path: Path, directory: int) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    file_syscalls.set_times(directory, b"link", -1, 1_000_000_001)

    file_syscalls.set_times(directory, b"link", UTIME_OMIT, 5)

    status = os.lstat(tmp_path / "link")
    assert (status.st_atime_ns, status.st_mtime_ns) == (-1, 5)


def test_set_times_takes_the_kernels_clock(tmp_path: Path, directory: int) -> None:
    (tmp_path / "file").touch()
    file_syscalls.set_times(directory, b"file", 1, 1)

    file_syscalls.set_times(directory, b"file", UTIME_NOW, UTIME_NOW)

    status = os.lstat(tmp_path / "file")
    assert status.st_atime_ns == status.st_mtime_ns == status.st_ctime_ns


@pytest.mark.parametrize("omitted", [0, 1])
def test_set_open_times_leaves_a_time_alone(tmp_path: Path, omitted: int) -> None:
    path = tmp_path / "file"
    fd = os.open(path, os.O_CREAT | os.O_RDWR)
    try:
        file_syscalls.set_open_times(fd, -1, 1_000_000_001)
        wishes = [UTIME_OMIT if index == omitted else 5 for index in range(2)]
        file_syscalls.set_open_times(fd, *wishes)
    finally:
        os.close(fd)

    expected = [
        (-1, 1_000_000_001)[index] if index == omitted else 5 for index in (0, 1)
    ]
    status = path.stat()
    assert [status.st_atime_ns, status.st_mtime_ns] == expected


def test_set_open_times_refuses_what_is_no_descriptor() -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        file_syscalls.set_open_times(-1, UTIME_NOW, UTIME_NOW)


def test_set_times_names_what_is_missing(directory: int) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        file_syscalls.set_times(directory, b"missing", 0, 0)
    assert caught.value.filename == b"missing"


@pytest.mark.parametrize("has_call", [True, False])
def test_attributes_of_an_entry_are_listed(
    tmp_path: Path, directory: int, monkeypatch: pytest.MonkeyPatch, *, has_call: bool
) -> None:
    monkeypatch.setattr(file_syscalls, "_has_listxattrat", has_call)
    (tmp_path / "bare").touch()
    (tmp_path / "dressed").touch()
    os.setxattr(tmp_path / "dressed", "user.a", b"b")
    (tmp_path / "link").symlink_to("dressed")

    listed = [
        file_syscalls.list_xattrs_at(directory, name)
        for name in (b"bare", b"dressed", b"link")
    ]

    assert listed == [[], ["user.a"], []]


def test_attributes_of_what_is_missing_are_an_error(directory: int) -> None:
    with pytest.raises(FileNotFoundError):
        file_syscalls.list_xattrs_at(directory, b"missing")


def test_without_listxattrat_the_way_through_proc_is_taken(
    tmp_path: Path, directory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dressed").touch()
    os.setxattr(tmp_path / "dressed", "user.a", b"b")
    monkeypatch.setattr(file_syscalls, "_has_listxattrat", True)
    monkeypatch.setattr(file_syscalls, "_NR_LISTXATTRAT", 1 << 20)

    assert file_syscalls.list_xattrs_at(directory, b"dressed") == ["user.a"]
    assert not file_syscalls._has_listxattrat


def test_fallocate_punches_a_hole(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    try:
        file_syscalls.fallocate(fd, 0, 0, 1 << 20)
        assert os.fstat(fd).st_size == 1 << 20
        os.pwrite(fd, b"x" * 8192, 0)
        mode = file_syscalls.FALLOC_FL_PUNCH_HOLE | file_syscalls.FALLOC_FL_KEEP_SIZE
        file_syscalls.fallocate(fd, mode, 0, 4096)
        assert os.pread(fd, 4097, 0) == bytes(4096) + b"x"
        with pytest.raises(OSError, match="Invalid argument"):
            file_syscalls.fallocate(fd, 0, -1, 1)
    finally:
        os.close(fd)


def test_a_file_without_a_name_is_linked(tmp_path: Path, directory: int) -> None:
    fd = os.open(tmp_path, os.O_TMPFILE | os.O_RDWR, 0o600)
    try:
        os.write(fd, b"data")
        file_syscalls.link_descriptor(fd, directory, b"named")
        with pytest.raises(FileExistsError):
            file_syscalls.link_descriptor(fd, directory, b"named")
    finally:
        os.close(fd)
    assert (tmp_path / "named").read_bytes() == b"data"


@pytest.mark.root
def test_a_handle_leads_back_to_its_file(tmp_path: Path, directory: int) -> None:
    (tmp_path / "file").write_bytes(b"data")

    kind, handle = file_syscalls.name_to_handle_at(directory, b"file")
    fd = file_syscalls.open_by_handle_at(directory, kind, handle, os.O_RDONLY)

    assert os.read(fd, 9) == b"data"
    os.close(fd)
    own = file_syscalls.name_to_handle_at(directory, b"")
    assert own == file_syscalls.name_to_handle_at(directory, b".")
    (tmp_path / "file").unlink()
    with pytest.raises(OSError, match="Stale") as caught:
        file_syscalls.open_by_handle_at(directory, kind, handle, os.O_RDONLY)
    assert caught.value.errno == errno.ESTALE


@pytest.mark.root
def test_files_are_made_for_another_user(tmp_path: Path) -> None:
    privilege = file_syscalls.capabilities()
    assert file_syscalls.set_fsgid(4343) == 0
    assert file_syscalls.set_fsuid(4242) == 0
    try:
        without = file_syscalls.capabilities()
        file_syscalls.set_capabilities(privilege)
        os.mknod(tmp_path / "fifo", stat.S_IFIFO)
    finally:
        assert file_syscalls.set_fsuid(0) == 4242
        assert file_syscalls.set_fsgid(0) == 4343

    assert without[0] != privilege[0]
    assert file_syscalls.capabilities() == privilege
    status = os.stat(tmp_path / "fifo")
    assert (status.st_uid, status.st_gid) == (4242, 4343)
