"""read(2), pread(2), readv(2) and close(2)."""

from __future__ import annotations

import errno
import os

import pytest

from support.posix_descriptors import opened
from support.posix_errors import refused
from support.posix_objects import OLD_NS, directory, file, holes, placed
from support.posix_place import Place

BIG = bytes(range(251)) * 8192  # two mebibytes, no power of two within

pytestmark = placed(
    file("file", b"0123456789"), file("empty"), file("big", BIG), directory("directory")
)


def test_reads_go_on_from_the_offset_to_the_end(place: Place) -> None:
    with opened(place / "file") as fd:
        parts = [os.read(fd, 4) for _ in range(4)]

    assert parts == [b"0123", b"4567", b"89", b""]


@pytest.mark.parametrize(
    ("size", "offset", "content"),
    [
        pytest.param(4, 0, b"0123", id="start"),
        pytest.param(4, 8, b"89", id="across-the-end"),
        pytest.param(4, 10, b"", id="at-the-end"),
        pytest.param(4, 1 << 40, b"", id="far-beyond"),
        pytest.param(0, 3, b"", id="nothing"),
    ],
)
def test_pread_leaves_the_offset(
    place: Place, size: int, offset: int, content: bytes
) -> None:
    with opened(place / "file") as fd:
        found = os.pread(fd, size, offset)

        assert found == content
        assert os.lseek(fd, 0, os.SEEK_CUR) == 0


def test_pread_refuses_a_negative_offset(place: Place) -> None:
    with opened(place / "file") as fd, refused(errno.EINVAL):
        os.pread(fd, 1, -1)


def test_an_empty_file_is_at_its_end(place: Place) -> None:
    with opened(place / "empty") as fd:
        assert os.read(fd, 1) == b""


def test_a_big_file_is_read_whole_and_in_odd_pieces(place: Place) -> None:
    assert (place / "big").read_bytes() == BIG
    with opened(place / "big") as fd:
        for offset in (1, 4095, 131071, 1 << 20, len(BIG) - 5):
            assert os.pread(fd, 70001, offset) == BIG[offset : offset + 70001]


def test_readv_fills_its_buffers_in_order(place: Place) -> None:
    first, second = bytearray(3), bytearray(20)

    with opened(place / "file") as fd:
        size = os.readv(fd, [first, second])

    assert (size, bytes(first), bytes(second[:7])) == (10, b"012", b"3456789")


def test_a_directory_is_not_read(place: Place) -> None:
    with opened(place / "directory") as fd, refused(errno.EISDIR):
        os.read(fd, 1)


@placed(holes("sparse", 300_000, (100_000, b"island")))
def test_a_hole_reads_as_zeros(place: Place) -> None:
    content = (place / "sparse").read_bytes()

    assert content == bytes(100_000) + b"island" + bytes(199_994)


def test_reading_changes_no_time_but_the_access_time(place: Place) -> None:
    before = os.stat(place / "file")

    (place / "file").read_bytes()

    after = os.stat(place / "file")
    assert after.st_mtime_ns == before.st_mtime_ns == OLD_NS
    assert after.st_ctime_ns == before.st_ctime_ns
    if place.is_lower:  # reads of lower files leave it: overlayfs.md 2.15 (a)
        assert after.st_atime_ns == OLD_NS


def test_a_closed_descriptor_is_refused(place: Place) -> None:
    fd = os.open(place / "file", os.O_RDONLY)
    os.close(fd)

    with refused(errno.EBADF):
        os.read(fd, 1)
    with refused(errno.EBADF):
        os.close(fd)


def test_a_duplicate_shares_the_offset_and_outlives_its_original(place: Place) -> None:
    fd = os.open(place / "file", os.O_RDONLY)
    twin = os.dup(fd)
    os.read(fd, 4)
    os.close(fd)
    try:
        assert os.read(twin, 4) == b"4567"
    finally:
        os.close(twin)
