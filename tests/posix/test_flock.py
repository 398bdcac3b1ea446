"""flock(2)."""

from __future__ import annotations

import errno
import fcntl
import os

import pytest

from support.posix_descriptors import opened, reopened
from support.posix_errors import refused
from support.posix_objects import directory, file, placed
from support.posix_place import Place
from support.posix_processes import in_child

SHARED = fcntl.LOCK_SH | fcntl.LOCK_NB
EXCLUSIVE = fcntl.LOCK_EX | fcntl.LOCK_NB

pytestmark = placed(file("file", b"content"), directory("directory"))


@pytest.mark.parametrize("name", ["file", "directory"])
def test_an_exclusive_lock_excludes_other_opens(place: Place, name: str) -> None:
    with opened(place / name) as one, opened(place / name) as two:
        fcntl.flock(one, EXCLUSIVE)

        for kind in (SHARED, EXCLUSIVE):
            with refused(errno.EAGAIN):
                fcntl.flock(two, kind)
        fcntl.flock(one, fcntl.LOCK_UN)
        fcntl.flock(two, EXCLUSIVE)


def test_shared_locks_go_together(place: Place) -> None:
    with (
        opened(place / "file") as one,
        opened(place / "file") as two,
        opened(place / "file") as three,
    ):
        fcntl.flock(one, SHARED)
        fcntl.flock(two, SHARED)

        with refused(errno.EAGAIN):
            fcntl.flock(three, EXCLUSIVE)


def test_a_lock_lasts_until_its_open_file_is_closed(place: Place) -> None:
    fd = os.open(place / "file", os.O_RDONLY)
    twin = os.dup(fd)
    fcntl.flock(fd, EXCLUSIVE)
    os.close(fd)
    with opened(place / "file") as other:
        with refused(errno.EAGAIN):
            fcntl.flock(other, SHARED)

        os.close(twin)

        fcntl.flock(other, EXCLUSIVE)


def test_a_lock_holds_against_another_process(place: Place) -> None:
    def try_lock() -> None:
        with opened(place / "file") as fd:
            fcntl.flock(fd, EXCLUSIVE)

    with opened(place / "file") as fd:
        fcntl.flock(fd, EXCLUSIVE)
        with refused(errno.EAGAIN):
            in_child(try_lock)
        fcntl.flock(fd, fcntl.LOCK_UN)
        in_child(try_lock)


def test_a_lock_is_inherited_and_released_for_all(place: Place) -> None:
    with opened(place / "file") as fd, opened(place / "file") as other:
        fcntl.flock(fd, EXCLUSIVE)

        in_child(lambda: fcntl.flock(fd, fcntl.LOCK_UN))

        fcntl.flock(other, EXCLUSIVE)


def test_a_lock_taken_before_the_first_write_still_holds(place: Place) -> None:
    with opened(place / "file") as reader:
        fcntl.flock(reader, EXCLUSIVE)

        with opened(place / "file", os.O_RDWR) as writer:
            os.write(writer, b"x")
            with refused(errno.EAGAIN):
                fcntl.flock(writer, SHARED)
        with opened(reopened(reader), os.O_RDWR) as again, refused(errno.EAGAIN):
            fcntl.flock(again, SHARED)


def test_a_lock_follows_a_renamed_file(place: Place) -> None:
    with opened(place / "file") as one:
        fcntl.flock(one, EXCLUSIVE)
        os.rename(place / "file", place / "moved")
        (place / "file").touch()

        with opened(place / "moved") as two, refused(errno.EAGAIN):
            fcntl.flock(two, SHARED)
        with opened(place / "file") as new:
            fcntl.flock(new, EXCLUSIVE)


def test_an_o_path_descriptor_is_not_locked(place: Place) -> None:
    with opened(place / "file", os.O_PATH) as fd, refused(errno.EBADF):
        fcntl.flock(fd, SHARED)
