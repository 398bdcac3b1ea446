"""utimensat(2) and futimens(3)."""

from __future__ import annotations

import errno
import os
import stat
import time

import pytest

from support.posix_calls import AT_SYMLINK_NOFOLLOW, UTIME_NOW, UTIME_OMIT, utimensat
from support.posix_descriptors import opened, wait_for_the_clock
from support.posix_errors import refused
from support.posix_objects import (
    GROUP,
    OLD_NS,
    OTHER_USER,
    USER,
    bound_socket,
    directory,
    fifo,
    file,
    node,
    placed,
    symlink,
)
from support.posix_place import Place
from support.posix_processes import as_user

OMIT, NOW = (0, UTIME_OMIT), (0, UTIME_NOW)
SECOND = 10**9

pytestmark = placed(
    file("file", b"content", mode=0o644, owner=(USER, GROUP)),
    file("shared", mode=0o666, owner=(OTHER_USER, GROUP)),
    directory("directory"),
    fifo("fifo"),
    bound_socket("socket"),
    node("device", stat.S_IFCHR | 0o600, 1, 3),
    symlink("link", "file"),
    symlink("dangling", "missing"),
)


def times_of(place: Place, name: str) -> tuple[int, int]:
    status = os.lstat(place / name)
    return status.st_atime_ns, status.st_mtime_ns


@pytest.mark.parametrize(
    "name", ["file", "directory", "fifo", "socket", "device", "link", "dangling"]
)
def test_times_are_kept_to_the_nanosecond(place: Place, name: str) -> None:
    atime, mtime = (1_234_567_890, 123_456_789), (987_654_321, 987_654_321)

    utimensat(place / name, atime, mtime, AT_SYMLINK_NOFOLLOW)

    expected = (1_234_567_890_123_456_789, 987_654_321_987_654_321)
    assert times_of(place, name) == expected
    place.remount()
    assert times_of(place, name) == expected


@pytest.mark.parametrize(
    ("atime", "mtime", "expected"),
    [
        pytest.param((5, 0), OMIT, (5 * SECOND, OLD_NS), id="mtime-omitted"),
        pytest.param(OMIT, (5, 0), (OLD_NS, 5 * SECOND), id="atime-omitted"),
        pytest.param(OMIT, OMIT, (OLD_NS, OLD_NS), id="both-omitted"),
        pytest.param((0, 0), (0, 0), (0, 0), id="1970"),
        pytest.param((-1, 0), (-2, 0), (-SECOND, -2 * SECOND), id="before-1970"),
        pytest.param(
            (1 << 32, 1),
            (1 << 33, 2),
            ((SECOND << 32) + 1, (SECOND << 33) + 2),
            id="2106",
        ),
    ],
)
def test_utimensat_sets(
    place: Place,
    atime: tuple[int, int],
    mtime: tuple[int, int],
    expected: tuple[int, int],
) -> None:
    utimensat(place / "file", atime, mtime)

    assert times_of(place, "file") == expected


@pytest.mark.parametrize("name", ["file", "directory", "fifo"])
def test_now_is_the_present(place: Place, name: str) -> None:
    earliest = time.time_ns() - SECOND

    utimensat(place / name, NOW, OMIT)
    assert times_of(place, name)[1] == OLD_NS
    utimensat(place / name, OMIT, NOW)

    assert all(earliest < it < time.time_ns() + SECOND for it in times_of(place, name))


def test_a_link_is_followed_unless_told(place: Place) -> None:
    utimensat(place / "link", (5, 0), (6, 0))

    assert times_of(place, "file") == (5 * SECOND, 6 * SECOND)
    assert times_of(place, "link")[1] == OLD_NS


def test_a_descriptor_s_times_are_set(place: Place) -> None:
    with opened(place / "file") as fd:
        os.utime(fd, ns=(5, 6))

        assert os.fstat(fd).st_mtime_ns == 6
    assert times_of(place, "file") == (5, 6)


def test_setting_times_changes_ctime(place: Place) -> None:
    before = os.stat(place / "file")
    wait_for_the_clock(before.st_ctime_ns)

    utimensat(place / "file", (5, 0), (6, 0))

    assert os.stat(place / "file").st_ctime_ns > before.st_ctime_ns
    assert os.stat(place.path).st_mtime_ns == OLD_NS


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("missing", errno.ENOENT),
        ("dangling", errno.ENOENT),
        ("file/x", errno.ENOTDIR),
    ],
)
def test_utimensat_refuses(place: Place, name: str, code: int) -> None:
    with refused(code):
        utimensat(place / name, NOW, NOW)


def test_nanoseconds_that_make_a_second_are_refused(place: Place) -> None:
    with refused(errno.EINVAL):
        utimensat(place / "file", (0, SECOND), (0, 0))

    assert times_of(place, "file") == (OLD_NS, OLD_NS)


@pytest.mark.parametrize(
    ("name", "times", "code"),
    [
        pytest.param("file", (5, 0), 0, id="owner-any"),
        pytest.param("file", NOW, 0, id="owner-now"),
        pytest.param("shared", NOW, 0, id="writer-now"),
        pytest.param("shared", (5, 0), errno.EPERM, id="writer-any"),
        pytest.param("directory", NOW, errno.EACCES, id="reader-now"),
        pytest.param("directory", (5, 0), errno.EPERM, id="reader-any"),
    ],
)
def test_a_user_sets_the_times_that_it_may(
    place: Place, name: str, times: tuple[int, int], code: int
) -> None:
    def touch() -> None:
        utimensat(place / name, times, times)

    if code:
        with refused(code):
            as_user(touch, USER, GROUP)
    else:
        as_user(touch, USER, GROUP)

    assert (times_of(place, name)[1] == OLD_NS) is bool(code)
