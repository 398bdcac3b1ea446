"""truncate(2) and ftruncate(2)."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from support.posix_descriptors import opened, wait_for_the_clock
from support.posix_errors import refused
from support.posix_objects import (
    GROUP,
    OLD_NS,
    USER,
    directory,
    fifo,
    file,
    placed,
    symlink,
)
from support.posix_place import Place
from support.posix_processes import as_user

CONTENT = bytes(range(256)) * 64  # 16 KiB

pytestmark = placed(
    file("file", CONTENT),
    symlink("link", "file"),
    directory("directory"),
    fifo("fifo"),
)
SIZES = [0, 1, 4095, 4096, 10_000, len(CONTENT), len(CONTENT) + 1, 1 << 30]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("way", ["path", "link", "descriptor"])
def test_a_file_gets_the_size_and_keeps_its_start(
    place: Place, size: int, way: str
) -> None:
    ino = os.stat(place / "file").st_ino

    if way == "descriptor":
        with opened(place / "file", os.O_RDWR) as fd:
            os.ftruncate(fd, size)
            assert os.fstat(fd).st_size == size
    else:
        os.truncate(place / ("file" if way == "path" else "link"), size)

    status = os.stat(place / "file")
    assert (status.st_size, status.st_ino) == (size, ino)
    with opened(place / "file") as fd:
        kept = min(size, len(CONTENT))
        assert os.pread(fd, kept, 0) == CONTENT[:kept]
        beyond = os.pread(fd, 100, kept)
        assert beyond == bytes(min(100, size - kept))


def test_what_was_cut_off_does_not_come_back(place: Place) -> None:
    os.truncate(place / "file", 100)
    os.truncate(place / "file", 8192)

    assert (place / "file").read_bytes() == CONTENT[:100] + bytes(8092)
    place.remount()
    assert (place / "file").read_bytes() == CONTENT[:100] + bytes(8092)


def test_writing_goes_on_behind_the_new_end(place: Place) -> None:
    with opened(place / "file", os.O_RDWR) as fd:
        os.lseek(fd, 200, os.SEEK_SET)
        os.ftruncate(fd, 10)
        os.write(fd, b"after")

    assert (place / "file").read_bytes() == CONTENT[:10] + bytes(190) + b"after"


def test_a_reader_sees_the_new_end_at_once(place: Place) -> None:
    with opened(place / "file") as fd:
        assert len(os.pread(fd, 1 << 20, 0)) == len(CONTENT)

        os.truncate(place / "file", 5)

        assert os.pread(fd, 1 << 20, 0) == CONTENT[:5]
        assert os.fstat(fd).st_size == 5


@pytest.mark.parametrize(
    ("name", "size", "code"),
    [
        pytest.param("missing", 0, errno.ENOENT, id="missing"),
        pytest.param("directory", 0, errno.EISDIR, id="directory"),
        pytest.param("fifo", 0, errno.EINVAL, id="fifo"),
        pytest.param("file", -1, errno.EINVAL, id="negative"),
        pytest.param("file/x", 0, errno.ENOTDIR, id="below-a-file"),
    ],
)
def test_truncate_refuses(place: Place, name: str, size: int, code: int) -> None:
    with refused(code):
        os.truncate(place / name, size)

    assert os.stat(place / "file").st_size == len(CONTENT)


def test_a_read_only_descriptor_is_refused(place: Place) -> None:
    with opened(place / "file") as fd, refused(errno.EINVAL, errno.EBADF):
        os.ftruncate(fd, 0)


def test_a_size_beyond_the_process_s_limit_is_refused(place: Place) -> None:
    with refused(errno.EFBIG):
        os.truncate(place / "file", (1 << 63) - 1)


@pytest.mark.parametrize("size", [0, len(CONTENT), 20_000])
def test_truncate_changes_mtime_and_ctime_also_for_the_same_size(
    place: Place, size: int
) -> None:
    before = os.stat(place / "file")
    wait_for_the_clock(before.st_ctime_ns)

    os.truncate(place / "file", size)

    after = os.stat(place / "file")
    assert after.st_ctime_ns > before.st_ctime_ns
    assert after.st_mtime_ns > OLD_NS


@placed(file("set-id", b"x", mode=0o6777))
def test_truncate_by_a_user_takes_away_the_set_id_bits(place: Place) -> None:
    as_user(lambda: os.truncate(place / "set-id", 0), USER, GROUP)

    assert stat.S_IMODE(os.stat(place / "set-id").st_mode) == 0o777


@placed(file("closed", b"x", mode=0o444))
def test_a_user_truncates_only_what_is_writable(place: Place) -> None:
    with refused(errno.EACCES):
        as_user(lambda: os.truncate(place / "closed", 0), USER, GROUP)

    assert os.stat(place / "closed").st_size == 1


@placed(file("setgid", b"content", mode=0o2666))
@pytest.mark.parametrize("size", [0, 3])
def test_a_stranger_to_the_group_takes_its_setgid_bit_away(
    place: Place, size: int
) -> None:
    as_user(lambda: os.truncate(place / "setgid", size), USER, GROUP)

    assert stat.S_IMODE(os.stat(place / "setgid").st_mode) == 0o666
