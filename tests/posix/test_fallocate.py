"""fallocate(2) and posix_fallocate(3)."""

from __future__ import annotations

import errno
import os

import pytest

from support.posix_calls import (
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    FALLOC_FL_ZERO_RANGE,
    fallocate,
)
from support.posix_descriptors import opened
from support.posix_errors import refused
from support.posix_objects import OLD_NS, directory, fifo, file, placed
from support.posix_place import Place

CONTENT = bytes(range(1, 256)) * 300  # no zeros; 76,500 bytes
PUNCH = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE

pytestmark = placed(
    file("file", CONTENT), file("empty"), directory("directory"), fifo("fifo")
)


def zeroed(start: int, length: int) -> bytes:
    """Return the content with zeros in a range that may pass its end."""
    end = min(start + length, len(CONTENT))
    return CONTENT[:start] + bytes(end - start) + CONTENT[end:]


@pytest.mark.parametrize(
    ("mode", "start", "length", "content"),
    [
        pytest.param(0, 0, 1000, CONTENT, id="within"),
        pytest.param(0, 76_000, 1000, CONTENT + bytes(500), id="extend"),
        pytest.param(0, 80_000, 10, CONTENT + bytes(3510), id="beyond"),
        pytest.param(FALLOC_FL_KEEP_SIZE, 70_000, 90_000, CONTENT, id="keep-size"),
        pytest.param(PUNCH, 4096, 8192, zeroed(4096, 8192), id="punch"),
        pytest.param(PUNCH, 100, 50_000, zeroed(100, 50_000), id="punch-odd"),
        pytest.param(PUNCH, 70_000, 90_000, zeroed(70_000, 90_000), id="punch-end"),
        pytest.param(FALLOC_FL_ZERO_RANGE, 100, 50_000, zeroed(100, 50_000), id="zero"),
        pytest.param(
            FALLOC_FL_ZERO_RANGE,
            70_000,
            10_000,
            zeroed(70_000, 6500) + bytes(3500),
            id="zero-extend",
        ),
        pytest.param(
            FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
            70_000,
            90_000,
            zeroed(70_000, 90_000),
            id="zero-keep-size",
        ),
    ],
)
def test_fallocate_gives(
    place: Place, mode: int, start: int, length: int, content: bytes
) -> None:
    with opened(place / "file", os.O_RDWR) as fd:
        assert os.pread(fd, 10, 0) == CONTENT[:10]

        fallocate(fd, mode, start, length)

        assert os.pread(fd, len(content) + 10, 0) == content
        assert os.fstat(fd).st_size == len(content)
    assert (place / "file").read_bytes() == content
    place.remount()
    assert (place / "file").read_bytes() == content


@pytest.mark.parametrize("mode", [0, FALLOC_FL_KEEP_SIZE])
def test_allocated_space_is_counted(place: Place, mode: int) -> None:
    with opened(place / "empty", os.O_WRONLY) as fd:
        fallocate(fd, mode, 0, 1 << 20)

        status = os.fstat(fd)

    assert status.st_blocks * 512 >= 1 << 20
    assert status.st_size == (0 if mode else 1 << 20)


def test_a_punched_hole_is_not_counted(place: Place) -> None:
    with opened(place / "file", os.O_WRONLY) as fd:
        os.fsync(fd)
        before = os.fstat(fd).st_blocks

        fallocate(fd, PUNCH, 0, 65_536)

        assert os.fstat(fd).st_blocks <= before - 65_536 // 512


@pytest.mark.parametrize(
    ("flags", "mode", "start", "length", "code"),
    [
        pytest.param(os.O_RDONLY, 0, 0, 10, errno.EBADF, id="read-only"),
        pytest.param(os.O_RDWR, 0, -1, 10, errno.EINVAL, id="negative"),
        pytest.param(os.O_RDWR, 0, 0, 0, errno.EINVAL, id="nothing"),
        pytest.param(
            os.O_RDWR, FALLOC_FL_PUNCH_HOLE, 0, 10, errno.EOPNOTSUPP, id="punch-size"
        ),
        pytest.param(os.O_RDWR, 1 << 20, 0, 10, errno.EOPNOTSUPP, id="unknown-mode"),
    ],
)
def test_fallocate_refuses(
    place: Place, flags: int, mode: int, start: int, length: int, code: int
) -> None:
    with opened(place / "file", flags) as fd, refused(code):
        fallocate(fd, mode, start, length)

    assert (place / "file").read_bytes() == CONTENT


def test_fallocate_is_for_regular_files(place: Place) -> None:
    with opened(place / "directory") as fd, refused(errno.EBADF):
        fallocate(fd, 0, 0, 10)
    with opened(place / "fifo", os.O_RDWR) as fd, refused(errno.ESPIPE):
        fallocate(fd, 0, 0, 10)


@pytest.mark.parametrize("mode", [0, PUNCH, FALLOC_FL_ZERO_RANGE])
def test_fallocate_changes_mtime(place: Place, mode: int) -> None:
    with opened(place / "file", os.O_WRONLY) as fd:
        fallocate(fd, mode, 0, 4096)

    assert os.stat(place / "file").st_mtime_ns > OLD_NS


def test_posix_fallocate_extends(place: Place) -> None:
    with opened(place / "file", os.O_WRONLY) as fd:
        os.posix_fallocate(fd, 0, 100_000)

    assert (place / "file").read_bytes() == CONTENT + bytes(23_500)
