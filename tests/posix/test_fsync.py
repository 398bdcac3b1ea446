"""fsync(2), fdatasync(2), sync_file_range(2) and syncfs(2)."""

from __future__ import annotations

import errno
import os

import pytest

from support.posix_calls import syncfs
from support.posix_descriptors import opened
from support.posix_errors import refused
from support.posix_objects import OLD_NS, directory, fifo, file, placed
from support.posix_place import Place

pytestmark = placed(file("file", b"content"), directory("directory"), fifo("fifo"))
SYNCS = [os.fsync, os.fdatasync, syncfs]


@pytest.mark.parametrize("sync", SYNCS)
@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_RDWR], ids=["read", "update"])
def test_a_file_is_synchronised_and_unchanged(
    place: Place, sync: object, flags: int
) -> None:
    assert callable(sync)
    with opened(place / "file", flags) as fd:
        sync(fd)

    assert (place / "file").read_bytes() == b"content"
    assert os.stat(place / "file").st_mtime_ns == OLD_NS


@pytest.mark.parametrize("sync", SYNCS)
def test_a_written_file_is_synchronised(place: Place, sync: object) -> None:
    assert callable(sync)
    with opened(place / "file", os.O_WRONLY) as fd:
        os.write(fd, b"CONTENT")
        sync(fd)

    assert (place / "file").read_bytes() == b"CONTENT"


@pytest.mark.parametrize("sync", SYNCS)
def test_a_directory_is_synchronised(place: Place, sync: object) -> None:
    assert callable(sync)
    (place / "directory/new").touch()

    with opened(place / "directory") as fd:
        sync(fd)

    assert os.listdir(place / "directory") == ["new"]


def test_a_removed_file_is_synchronised(place: Place) -> None:
    with opened(place / "file", os.O_RDWR) as fd:
        os.write(fd, b"x")
        os.unlink(place / "file")

        os.fsync(fd)


def test_a_fifo_has_nothing_to_synchronise(place: Place) -> None:
    with opened(place / "fifo", os.O_RDWR) as fd, refused(errno.EINVAL):
        os.fsync(fd)


def test_an_o_path_descriptor_is_refused(place: Place) -> None:
    with opened(place / "file", os.O_PATH) as fd, refused(errno.EBADF):
        os.fsync(fd)


def test_a_synchronous_write_is_there(place: Place) -> None:
    with opened(place / "file", os.O_WRONLY | os.O_DSYNC) as fd:
        os.write(fd, b"CONTENT")

    assert (place / "file").read_bytes() == b"CONTENT"
