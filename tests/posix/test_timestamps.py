"""Which calls change whose times (the table of POSIX: inode(7))."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from support.posix_descriptors import opened, wait_for_the_clock
from support.posix_objects import OLD_NS, directory, file, placed, symlink
from support.posix_place import Place

pytestmark = placed(
    directory("at"),
    file("at/file", b"content"),
    symlink("at/link", "file"),
    directory("at/empty"),
    directory("other"),
    file("other/file"),
)

DIRECTORY_CHANGES: dict[str, Callable[[Place], object]] = {
    "creat": lambda place: os.close(os.open(place / "at/new", os.O_CREAT)),
    "mkdir": lambda place: os.mkdir(place / "at/new"),
    "mkfifo": lambda place: os.mkfifo(place / "at/new"),
    "symlink": lambda place: os.symlink("x", place / "at/new"),
    "link": lambda place: os.link(place / "other/file", place / "at/new"),
    "unlink": lambda place: os.unlink(place / "at/file"),
    "rmdir": lambda place: os.rmdir(place / "at/empty"),
    "rename-away": lambda place: os.rename(place / "at/file", place / "other/new"),
    "rename-in": lambda place: os.rename(place / "other/file", place / "at/new"),
    "rename-over": lambda place: os.rename(place / "other/file", place / "at/file"),
    "rename-within": lambda place: os.rename(place / "at/file", place / "at/new"),
    "rename-directory": lambda place: os.rename(place / "at/empty", place / "at/new"),
}
FILE_CHANGES: dict[str, Callable[[Place], object]] = {
    "write": lambda place: (place / "at/file").write_bytes(b"changed"),
    "truncate": lambda place: os.truncate(place / "at/file", 3),
    "chmod": lambda place: os.chmod(place / "at/file", 0o600),
    "chown": lambda place: os.chown(place / "at/file", 1, 1),
    "setxattr": lambda place: os.setxattr(place / "at/file", "user.new", b""),
    "utime": lambda place: os.utime(place / "at/file", ns=(OLD_NS, OLD_NS)),
}


@pytest.mark.parametrize("change", DIRECTORY_CHANGES)
def test_a_change_of_names_changes_mtime_and_ctime_of_the_directory(
    place: Place, change: str
) -> None:
    before = os.stat(place / "at").st_ctime_ns
    wait_for_the_clock(before)

    DIRECTORY_CHANGES[change](place)

    after = os.stat(place / "at")
    assert after.st_mtime_ns > before
    assert after.st_ctime_ns > before
    assert os.stat(place.path).st_mtime_ns == OLD_NS


def test_a_change_of_names_lasts(place: Place) -> None:
    os.unlink(place / "at/file")
    before = os.stat(place / "at")

    place.remount()

    assert os.stat(place / "at").st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize("change", FILE_CHANGES)
def test_a_change_of_a_file_changes_its_ctime_and_not_its_directory(
    place: Place, change: str
) -> None:
    before = os.stat(place / "at/file").st_ctime_ns
    wait_for_the_clock(before)

    with opened(place / "at/file"):
        FILE_CHANGES[change](place)

    assert os.stat(place / "at/file").st_ctime_ns > before
    assert os.stat(place / "at").st_mtime_ns == OLD_NS
    assert os.stat(place.path).st_mtime_ns == OLD_NS


@pytest.mark.parametrize("change", ["chmod", "chown", "setxattr", "utime"])
def test_a_change_of_the_inode_leaves_mtime(place: Place, change: str) -> None:
    FILE_CHANGES[change](place)

    assert os.stat(place / "at/file").st_mtime_ns == OLD_NS


def test_a_failed_call_changes_no_time(place: Place) -> None:
    before = os.stat(place / "at")
    failing: list[Callable[[], None]] = [
        lambda: os.mkdir(place / "at/file"),
        lambda: os.rmdir(place / "at/file"),
        lambda: os.unlink(place / "at/empty"),
        lambda: os.rename(place / "at/file", place / "at/empty"),
        lambda: os.unlink(place / "at/missing"),
    ]
    for action in failing:
        with pytest.raises(OSError, match="at/"):
            action()

    after = os.stat(place / "at")
    assert (after.st_mtime_ns, after.st_ctime_ns) == (OLD_NS, before.st_ctime_ns)


def test_reading_a_link_and_looking_changes_nothing(place: Place) -> None:
    os.readlink(place / "at/link")
    os.stat(place / "at/link")
    os.listdir(place / "at")

    assert os.lstat(place / "at/link").st_mtime_ns == OLD_NS
    assert os.stat(place / "at").st_mtime_ns == OLD_NS
