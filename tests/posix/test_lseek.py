"""lseek(2), with data and holes."""

from __future__ import annotations

import errno
import os

import pytest

from support.posix_descriptors import opened
from support.posix_errors import refused
from support.posix_objects import directory, fifo, file, holes, placed
from support.posix_place import Place

BLOCK = 4096
# Data in the blocks 16..17 and 64; a hole in front, between and behind.
SIZE = 100 * BLOCK
SPARSE = holes("sparse", SIZE, (16 * BLOCK, b"d" * 2 * BLOCK), (64 * BLOCK, b"x"))

pytestmark = placed(
    file("file", b"0123456789"), directory("directory"), fifo("fifo"), SPARSE
)


@pytest.mark.parametrize(
    ("offset", "whence", "position"),
    [
        (3, os.SEEK_SET, 3),
        (3, os.SEEK_CUR, 8),
        (-3, os.SEEK_CUR, 2),
        (0, os.SEEK_END, 10),
        (-4, os.SEEK_END, 6),
        (100, os.SEEK_END, 110),
    ],
)
def test_lseek_moves_the_offset(
    place: Place, offset: int, whence: int, position: int
) -> None:
    with opened(place / "file") as fd:
        os.read(fd, 5)

        assert os.lseek(fd, offset, whence) == position
        assert os.read(fd, 100) == b"0123456789"[position:]


@pytest.mark.parametrize(
    ("offset", "whence", "position"),
    [
        pytest.param(0, os.SEEK_DATA, 16 * BLOCK, id="first-data"),
        pytest.param(17 * BLOCK + 5, os.SEEK_DATA, 17 * BLOCK + 5, id="in-data"),
        pytest.param(18 * BLOCK, os.SEEK_DATA, 64 * BLOCK, id="next-data"),
        pytest.param(0, os.SEEK_HOLE, 0, id="in-hole"),
        pytest.param(16 * BLOCK, os.SEEK_HOLE, 18 * BLOCK, id="next-hole"),
        pytest.param(64 * BLOCK, os.SEEK_HOLE, 65 * BLOCK, id="last-hole"),
    ],
)
def test_data_and_holes_are_found(
    place: Place, offset: int, whence: int, position: int
) -> None:
    with opened(place / "sparse") as fd:
        assert os.lseek(fd, offset, whence) == position
        assert os.lseek(fd, 0, os.SEEK_CUR) == position


def test_a_changed_file_keeps_its_holes(place: Place) -> None:
    os.chmod(place / "sparse", 0o600)

    status = os.stat(place / "sparse")
    blocks = place.expected(
        3,
        because="copy-up fills holes that start within a chunk of 1 MiB, fs/overlayfs",
        kernel_lower=84,
    )
    assert status.st_size == SIZE
    assert status.st_blocks * 512 == blocks * BLOCK


def test_the_end_is_a_hole_and_there_is_no_data_behind(place: Place) -> None:
    with opened(place / "sparse") as fd:
        assert os.lseek(fd, 66 * BLOCK, os.SEEK_HOLE) == 66 * BLOCK
        with refused(errno.ENXIO):
            os.lseek(fd, 65 * BLOCK, os.SEEK_DATA)
        with refused(errno.ENXIO):
            os.lseek(fd, SIZE, os.SEEK_HOLE)


def test_a_file_without_holes_has_one_at_its_end(place: Place) -> None:
    with opened(place / "file") as fd:
        assert os.lseek(fd, 3, os.SEEK_DATA) == 3
        assert os.lseek(fd, 3, os.SEEK_HOLE) == 10


def test_new_data_is_found_at_once(place: Place) -> None:
    with opened(place / "sparse", os.O_RDWR) as fd:
        os.pwrite(fd, b"new", 8 * BLOCK)

        assert os.lseek(fd, 0, os.SEEK_DATA) == 8 * BLOCK
        assert os.lseek(fd, 8 * BLOCK, os.SEEK_HOLE) == 9 * BLOCK


@pytest.mark.parametrize(
    ("offset", "whence"),
    [(-1, os.SEEK_SET), (-11, os.SEEK_END), (-1, os.SEEK_CUR), (0, 99)],
)
def test_lseek_refuses(place: Place, offset: int, whence: int) -> None:
    with opened(place / "file") as fd, refused(errno.EINVAL):
        os.lseek(fd, offset, whence)


def test_a_fifo_has_no_offset(place: Place) -> None:
    with opened(place / "fifo", os.O_RDWR) as fd, refused(errno.ESPIPE):
        os.lseek(fd, 0, os.SEEK_SET)


def test_descriptors_of_one_open_share_the_offset(place: Place) -> None:
    with opened(place / "file") as fd:
        twin = os.dup(fd)
        try:
            os.lseek(twin, 7, os.SEEK_SET)
            assert os.read(fd, 100) == b"789"
        finally:
            os.close(twin)
