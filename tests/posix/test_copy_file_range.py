"""copy_file_range(2)."""

from __future__ import annotations

import errno
import os

import pytest

from support.posix_descriptors import opened
from support.posix_errors import refused
from support.posix_objects import OLD_NS, directory, file, holes, placed
from support.posix_place import Place

CONTENT = bytes(range(251)) * 1000

pytestmark = placed(
    file("source", CONTENT),
    file("target", b"t" * 1000),
    directory("directory"),
    holes("sparse", 1 << 20, (500_000, b"island")),
)


def copied(source: int, target: int, count: int) -> int:
    """Copy until nothing more comes; return how much came."""
    total = 0
    while count > total and (part := os.copy_file_range(source, target, count - total)):
        total += part
    return total


@pytest.mark.parametrize("target", ["new", "target"])
def test_a_whole_file_is_copied(place: Place, target: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT
    with opened(place / "source") as one, opened(place / target, flags) as two:
        assert copied(one, two, 1 << 30) == len(CONTENT)

    assert (place / target).read_bytes() == CONTENT
    assert (place / "source").read_bytes() == CONTENT
    assert os.stat(place / "source").st_mtime_ns == OLD_NS
    assert os.stat(place / target).st_mtime_ns > OLD_NS


def test_given_offsets_leave_the_descriptors_offsets(place: Place) -> None:
    with (
        opened(place / "source") as one,
        opened(place / "target", os.O_RDWR) as two,
    ):
        assert os.copy_file_range(one, two, 100, 1000, 950) == 100
        assert os.lseek(one, 0, os.SEEK_CUR) == os.lseek(two, 0, os.SEEK_CUR) == 0
        assert os.pread(two, 2000, 0) == b"t" * 950 + CONTENT[1000:1100]


def test_the_end_of_the_source_gives_nothing(place: Place) -> None:
    with (
        opened(place / "source") as one,
        opened(place / "target", os.O_WRONLY) as two,
    ):
        assert os.copy_file_range(one, two, 100, len(CONTENT), 0) == 0
        assert os.copy_file_range(one, two, 100, len(CONTENT) - 10, 0) == 10


def test_a_range_moves_within_one_file(place: Place) -> None:
    with opened(place / "source", os.O_RDWR) as fd:
        assert os.copy_file_range(fd, fd, 1000, 0, 100_000) == 1000

    expected = CONTENT[:100_000] + CONTENT[:1000] + CONTENT[101_000:]
    assert (place / "source").read_bytes() == expected


def test_a_sparse_file_is_copied_whole(place: Place) -> None:
    flags = os.O_WRONLY | os.O_CREAT
    with opened(place / "sparse") as one, opened(place / "new", flags) as two:
        copied(one, two, 1 << 20)

    assert (place / "new").read_bytes() == (place / "sparse").read_bytes()


def test_what_was_just_written_is_copied(place: Place) -> None:
    with (
        opened(place / "source", os.O_RDWR) as one,
        opened(place / "target", os.O_RDWR) as two,
    ):
        os.pread(two, 100, 0)
        os.pwrite(one, b"fresh", 0)
        os.copy_file_range(one, two, 100, 0, 0)

        assert os.pread(two, 100, 0) == b"fresh" + CONTENT[5:100]


@pytest.mark.parametrize(
    ("source", "target", "flags", "code"),
    [
        pytest.param("source", "target", os.O_RDONLY, errno.EBADF, id="read-only"),
        pytest.param(
            "source", "target", os.O_WRONLY | os.O_APPEND, errno.EBADF, id="append"
        ),
        pytest.param("source", "directory", os.O_RDONLY, errno.EISDIR, id="directory"),
        pytest.param("directory", "target", os.O_WRONLY, errno.EISDIR, id="from"),
    ],
)
def test_copy_file_range_refuses(
    place: Place, source: str, target: str, flags: int, code: int
) -> None:
    with (
        opened(place / source) as one,
        opened(place / target, flags) as two,
        refused(code),
    ):
        os.copy_file_range(one, two, 10)

    assert (place / "target").read_bytes() == b"t" * 1000


def test_overlapping_ranges_of_one_file_are_refused(place: Place) -> None:
    with opened(place / "source", os.O_RDWR) as fd, refused(errno.EINVAL):
        os.copy_file_range(fd, fd, 1000, 0, 500)
