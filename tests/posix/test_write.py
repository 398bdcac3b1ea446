"""write(2), pwrite(2), writev(2) and appending."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from support.posix_descriptors import opened, wait_for_the_clock
from support.posix_errors import refused
from support.posix_objects import GROUP, OLD_NS, USER, file, placed
from support.posix_place import Place
from support.posix_processes import as_user

BIG = bytes(range(253)) * 8192

pytestmark = placed(file("file", b"0123456789"), file("big", BIG))


@pytest.mark.parametrize(
    ("offset", "content", "result"),
    [
        pytest.param(0, b"AB", b"AB23456789", id="start"),
        pytest.param(4, b"AB", b"0123AB6789", id="middle"),
        pytest.param(9, b"ABC", b"012345678ABC", id="across-the-end"),
        pytest.param(10, b"A", b"0123456789A", id="end"),
        pytest.param(12, b"A", b"0123456789\0\0A", id="beyond"),
        pytest.param(3, b"", b"0123456789", id="nothing"),
    ],
)
def test_pwrite_puts_bytes_at_the_offset(
    place: Place, offset: int, content: bytes, result: bytes
) -> None:
    ino = os.stat(place / "file").st_ino

    with opened(place / "file", os.O_RDWR) as fd:
        assert os.pwrite(fd, content, offset) == len(content)
        assert os.pread(fd, 100, 0) == result
        assert os.lseek(fd, 0, os.SEEK_CUR) == 0

    assert (place / "file").read_bytes() == result
    assert os.stat(place / "file").st_size == len(result)
    assert os.stat(place / "file").st_ino == ino


def test_write_moves_the_offset(place: Place) -> None:
    with opened(place / "file", os.O_RDWR) as fd:
        os.write(fd, b"ab")
        os.write(fd, b"cd")

        assert os.lseek(fd, 0, os.SEEK_CUR) == 4

    assert (place / "file").read_bytes() == b"abcd456789"


def test_writev_writes_its_buffers_in_order(place: Place) -> None:
    with opened(place / "file", os.O_WRONLY) as fd:
        assert os.writev(fd, [b"ab", b"", b"cde"]) == 5

    assert (place / "file").read_bytes() == b"abcde56789"


def test_a_big_file_keeps_all_but_what_is_written(place: Place) -> None:
    with opened(place / "big", os.O_RDWR) as fd:
        os.pwrite(fd, b"change", 1_000_001)
        assert os.pread(fd, 10, 1_000_000) == (
            BIG[1_000_000:1_000_001] + b"change" + BIG[1_000_007:1_000_010]
        )

    expected = bytearray(BIG)
    expected[1_000_001:1_000_007] = b"change"
    assert (place / "big").read_bytes() == expected


def test_a_write_of_many_pages_arrives_whole(place: Place) -> None:
    with opened(place / "file", os.O_WRONLY) as fd:
        assert os.pwrite(fd, BIG, 5) == len(BIG)

    assert (place / "file").read_bytes() == b"01234" + BIG


def test_pwrite_on_an_appending_descriptor_appends(place: Place) -> None:
    # BUGS of pwrite(2): on Linux the offset is not looked at.
    with opened(place / "file", os.O_WRONLY | os.O_APPEND) as fd:
        os.pwrite(fd, b"end", 2)

    assert (place / "file").read_bytes() == b"0123456789end"


def test_two_appending_descriptors_never_overwrite_each_other(place: Place) -> None:
    flags = os.O_WRONLY | os.O_APPEND
    with opened(place / "file", flags) as one, opened(place / "file", flags) as two:
        for number in range(20):
            os.write(one if number % 2 else two, b"%02d" % number)

    written = b"".join(b"%02d" % number for number in range(20))
    assert (place / "file").read_bytes() == b"0123456789" + written


def test_a_write_changes_mtime_and_ctime(place: Place) -> None:
    before = os.stat(place / "file")
    wait_for_the_clock(before.st_ctime_ns)

    with opened(place / "file", os.O_WRONLY) as fd:
        os.write(fd, b"x")

    after = os.stat(place / "file")
    assert after.st_mtime_ns > before.st_ctime_ns
    assert after.st_ctime_ns > before.st_ctime_ns
    assert os.stat(place.path).st_mtime_ns == OLD_NS


@placed(file("set-id", b"x", mode=0o6777))
def test_a_write_by_a_user_takes_away_the_set_id_bits(place: Place) -> None:
    def write() -> None:
        with opened(place / "set-id", os.O_WRONLY) as fd:
            os.write(fd, b"y")

    as_user(write, USER, GROUP)

    assert stat.S_IMODE(os.stat(place / "set-id").st_mode) == 0o777


@placed(file("set-id", b"x", mode=0o6777))
def test_a_write_by_root_keeps_the_set_id_bits(place: Place) -> None:
    with opened(place / "set-id", os.O_WRONLY) as fd:
        os.write(fd, b"y")

    assert stat.S_IMODE(os.stat(place / "set-id").st_mode) == 0o6777


def test_a_negative_offset_is_refused(place: Place) -> None:
    with opened(place / "file", os.O_WRONLY) as fd, refused(errno.EINVAL):
        os.pwrite(fd, b"x", -1)


def test_what_was_written_is_there_after_a_remount(place: Place) -> None:
    with opened(place / "file", os.O_WRONLY) as fd:
        os.pwrite(fd, b"AB", 4)

    place.remount()

    assert (place / "file").read_bytes() == b"0123AB6789"
