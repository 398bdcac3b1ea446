"""mmap(2) of files."""

from __future__ import annotations

import errno
import mmap
import os

import pytest

from support.posix_descriptors import opened
from support.posix_errors import refused
from support.posix_objects import OLD_NS, file, placed
from support.posix_place import Place
from support.posix_processes import in_child

CONTENT = bytes(range(256)) * 64  # four pages

pytestmark = placed(file("file", CONTENT))


def test_a_read_only_mapping_shows_the_content(place: Place) -> None:
    with (
        opened(place / "file") as fd,
        mmap.mmap(fd, 0, prot=mmap.PROT_READ) as mapping,
    ):
        assert mapping[:] == CONTENT

    assert os.stat(place / "file").st_mtime_ns == OLD_NS


def test_a_shared_write_is_read_at_once_and_after_a_remount(place: Place) -> None:
    with opened(place / "file", os.O_RDWR) as fd, mmap.mmap(fd, 0) as mapping:
        mapping[4090:4100] = b"boundaries"
        assert os.pread(fd, 10, 4090) == b"boundaries"
        with opened(place / "file") as other:
            assert os.pread(other, 10, 4090) == b"boundaries"
        mapping.flush()

    expected = CONTENT[:4090] + b"boundaries" + CONTENT[4100:]
    assert (place / "file").read_bytes() == expected
    place.remount()
    assert (place / "file").read_bytes() == expected


def test_an_unflushed_shared_write_survives_a_remount(place: Place) -> None:
    with opened(place / "file", os.O_RDWR) as fd, mmap.mmap(fd, 0) as mapping:
        mapping[0:5] = b"dirty"

    place.remount()

    assert (place / "file").read_bytes() == b"dirty" + CONTENT[5:]


def test_a_write_is_seen_in_a_shared_mapping(place: Place) -> None:
    with opened(place / "file", os.O_RDWR) as fd, mmap.mmap(fd, 0) as mapping:
        assert mapping[:4] == CONTENT[:4]

        os.pwrite(fd, b"seen", 0)

        assert mapping[:4] == b"seen"


def test_a_mapping_from_before_the_first_write_sees_it(place: Place) -> None:
    with (
        opened(place / "file") as reader,
        mmap.mmap(reader, 0, prot=mmap.PROT_READ) as mapping,
    ):
        assert mapping[:4] == CONTENT[:4]

        with opened(place / "file", os.O_WRONLY) as writer:
            os.write(writer, b"seen")

        expected = place.expected(
            b"seen",
            because="it stays on the lower file's pages: overlayfs.md 2.15 (b)",
            kernel_lower=CONTENT[:4],
        )
        assert mapping[:4] == expected


def test_a_private_write_stays_private(place: Place) -> None:
    with (
        opened(place / "file") as fd,
        mmap.mmap(fd, 0, flags=mmap.MAP_PRIVATE) as mapping,
    ):
        mapping[0:7] = b"private"

        assert mapping[:7] == b"private"
        assert os.pread(fd, 7, 0) == CONTENT[:7]

    assert (place / "file").read_bytes() == CONTENT
    assert os.stat(place / "file").st_mtime_ns == OLD_NS


def test_two_processes_share_a_mapping(place: Place) -> None:
    with opened(place / "file", os.O_RDWR) as fd, mmap.mmap(fd, 0) as mapping:

        def write() -> bool:
            mapping[100:105] = b"child"
            return True

        assert in_child(write)
        assert mapping[100:105] == b"child"
        assert os.pread(fd, 5, 100) == b"child"


def test_a_mapping_outlives_the_descriptor_and_the_name(place: Place) -> None:
    with opened(place / "file", os.O_RDWR) as fd:
        mapping = mmap.mmap(fd, 0)
    os.unlink(place / "file")

    with mapping:
        mapping[0:4] = b"gone"
        assert mapping[:] == b"gone" + CONTENT[4:]


def test_a_shared_write_changes_mtime_when_it_is_flushed(place: Place) -> None:
    with opened(place / "file", os.O_RDWR) as fd, mmap.mmap(fd, 0) as mapping:
        mapping[0:4] = b"time"
        mapping.flush()

        assert os.fstat(fd).st_mtime_ns > OLD_NS


def test_a_mapping_follows_the_file_that_grows(place: Place) -> None:
    size = len(CONTENT)
    with opened(place / "file", os.O_RDWR) as fd:
        os.ftruncate(fd, size + 8192)
        with mmap.mmap(fd, size + 8192) as mapping:
            assert mapping[size : size + 10] == bytes(10)
            mapping[size + 5000 : size + 5003] = b"new"

        assert os.pread(fd, 3, size + 5000) == b"new"


@pytest.mark.parametrize(
    ("flags", "prot"),
    [
        pytest.param(os.O_RDONLY, mmap.PROT_READ | mmap.PROT_WRITE, id="read-only"),
        pytest.param(os.O_WRONLY, mmap.PROT_READ, id="write-only"),
    ],
)
def test_a_shared_mapping_needs_the_access_mode(
    place: Place, flags: int, prot: int
) -> None:
    with opened(place / "file", flags) as fd, refused(errno.EACCES):
        mmap.mmap(fd, 4096, flags=mmap.MAP_SHARED, prot=prot)
