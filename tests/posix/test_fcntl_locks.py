"""fcntl(2): record locks of processes, and those of open files (OFD)."""

from __future__ import annotations

import errno
import fcntl
import os

import pytest

from support.posix_calls import F_OFD_GETLK, F_OFD_SETLK, lock_kind, lock_range
from support.posix_descriptors import opened
from support.posix_errors import refused
from support.posix_objects import file, placed
from support.posix_place import Place
from support.posix_processes import in_child

READ, WRITE, UNLOCK = fcntl.F_RDLCK, fcntl.F_WRLCK, fcntl.F_UNLCK

pytestmark = placed(file("file", b"0123456789"))


def blocked_in_child(place: Place, kind: int, start: int = 0, length: int = 0) -> bool:
    """Tell whether another process is refused the lock."""

    def try_lock() -> bool:
        with opened(place / "file", os.O_RDWR) as fd:
            try:
                fcntl.fcntl(fd, fcntl.F_SETLK, lock_range(kind, start, length))
            except (BlockingIOError, PermissionError):  # EAGAIN or EACCES
                return True
        return False

    return in_child(try_lock)


@pytest.mark.parametrize(
    ("held", "asked", "is_blocked"),
    [
        (READ, READ, False),
        (READ, WRITE, True),
        (WRITE, READ, True),
        (WRITE, WRITE, True),
    ],
)
def test_a_process_s_lock_holds_against_another(
    place: Place, held: int, asked: int, is_blocked: bool
) -> None:
    with opened(place / "file", os.O_RDWR) as fd:
        fcntl.fcntl(fd, fcntl.F_SETLK, lock_range(held))

        assert blocked_in_child(place, asked) is is_blocked
        fcntl.fcntl(fd, fcntl.F_SETLK, lock_range(UNLOCK))
        assert not blocked_in_child(place, asked)


def test_only_the_locked_range_is_held(place: Place) -> None:
    with opened(place / "file", os.O_RDWR) as fd:
        fcntl.fcntl(fd, fcntl.F_SETLK, lock_range(WRITE, 2, 4))

        assert not blocked_in_child(place, WRITE, 0, 2)
        assert blocked_in_child(place, WRITE, 5, 1)
        assert not blocked_in_child(place, WRITE, 6, 0)


def test_closing_any_descriptor_of_the_file_drops_a_process_s_locks(
    place: Place,
) -> None:
    with opened(place / "file", os.O_RDWR) as fd:
        fcntl.fcntl(fd, fcntl.F_SETLK, lock_range(WRITE))
        with opened(place / "file"):
            pass

        assert not blocked_in_child(place, WRITE)


def test_a_child_does_not_inherit_its_parent_s_locks(place: Place) -> None:
    with opened(place / "file", os.O_RDWR) as fd:
        fcntl.fcntl(fd, fcntl.F_SETLK, lock_range(WRITE))

        def try_again() -> None:
            fcntl.fcntl(fd, fcntl.F_SETLK, lock_range(WRITE))

        with refused(errno.EAGAIN, errno.EACCES):
            in_child(try_again)


def test_the_holder_is_told(place: Place) -> None:
    with opened(place / "file", os.O_RDWR) as fd:
        fcntl.fcntl(fd, fcntl.F_SETLK, lock_range(WRITE, 3, 2))

        def ask() -> tuple[int, int]:
            answer = fcntl.fcntl(fd, fcntl.F_GETLK, lock_range(READ))
            return lock_kind(answer), int.from_bytes(answer[8:16], "little")

        assert in_child(ask) == (WRITE, 3)


def test_a_read_lock_taken_before_the_first_write_still_holds(place: Place) -> None:
    with opened(place / "file") as reader:
        fcntl.fcntl(reader, fcntl.F_SETLK, lock_range(READ))

        def write_and_lock() -> bool:
            with opened(place / "file", os.O_RDWR) as writer:
                os.write(writer, b"x")
            return blocked_in_child(place, WRITE)

        assert in_child(write_and_lock)


@pytest.mark.parametrize("asked", [READ, WRITE])
def test_an_open_file_s_lock_holds_within_the_process(place: Place, asked: int) -> None:
    with (
        opened(place / "file", os.O_RDWR) as one,
        opened(place / "file", os.O_RDWR) as two,
    ):
        fcntl.fcntl(one, F_OFD_SETLK, lock_range(WRITE))

        with refused(errno.EAGAIN):
            fcntl.fcntl(two, F_OFD_SETLK, lock_range(asked))
        answer = fcntl.fcntl(two, F_OFD_GETLK, lock_range(asked))
        assert lock_kind(answer) == WRITE


def test_an_open_file_s_lock_outlives_other_descriptors(place: Place) -> None:
    with opened(place / "file", os.O_RDWR) as one:
        fcntl.fcntl(one, F_OFD_SETLK, lock_range(WRITE))
        with opened(place / "file"):
            pass

        assert blocked_in_child(place, READ)


def test_an_open_file_s_lock_taken_before_the_first_write_still_holds(
    place: Place,
) -> None:
    with opened(place / "file") as reader:
        fcntl.fcntl(reader, F_OFD_SETLK, lock_range(READ))

        with opened(place / "file", os.O_RDWR) as writer:
            os.write(writer, b"x")
            with refused(errno.EAGAIN):
                fcntl.fcntl(writer, F_OFD_SETLK, lock_range(WRITE))
            fcntl.fcntl(writer, F_OFD_SETLK, lock_range(READ))


@pytest.mark.parametrize("command", [fcntl.F_SETLK, F_OFD_SETLK])
def test_a_lock_needs_the_access_mode(place: Place, command: int) -> None:
    with opened(place / "file", os.O_RDONLY) as fd, refused(errno.EBADF):
        fcntl.fcntl(fd, command, lock_range(WRITE))
    with opened(place / "file", os.O_WRONLY) as fd, refused(errno.EBADF):
        fcntl.fcntl(fd, command, lock_range(READ))


def test_lockf_waits_until_the_lock_is_free(place: Place) -> None:
    reader, writer = os.pipe()
    try:
        with opened(place / "file", os.O_RDWR) as fd:
            fcntl.lockf(fd, fcntl.LOCK_EX)

            def hold_after_waiting() -> bytes:
                with opened(place / "file", os.O_RDWR) as other:
                    os.write(writer, b"asking")
                    fcntl.lockf(other, fcntl.LOCK_EX)
                    return os.pread(other, 8, 0)

            child = os.fork()
            if child == 0:
                os._exit(0 if hold_after_waiting() == b"released" else 1)
            assert os.read(reader, 6) == b"asking"
            os.pwrite(fd, b"released", 0)
            fcntl.lockf(fd, fcntl.LOCK_UN)

        assert os.waitpid(child, 0) == (child, 0)
    finally:
        os.close(reader)
        os.close(writer)
