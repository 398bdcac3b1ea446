"""stat(2), lstat(2) and fstat(2): numbers that last, counts, sizes and times."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from support.posix_calls import UTIME_NOW, utimensat
from support.posix_descriptors import opened
from support.posix_errors import refused
from support.posix_objects import (
    GROUP,
    OLD_NS,
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

pytestmark = placed(
    file("file", b"x" * 5000, mode=0o640, owner=(USER, GROUP)),
    directory("directory", mode=0o1751, owner=(USER, GROUP)),
    file("directory/child"),
    directory("directory/inner"),
    symlink("link", "file"),
    symlink("dangling", "missing"),
    fifo("fifo", mode=0o604),
    bound_socket("socket"),
    node("device", stat.S_IFCHR | 0o620, 1, 5),
)
NAMES = ["file", "directory", "link", "fifo", "socket", "device", "directory/inner"]


def change(place: Place, name: str) -> None:
    """Make a union copy the object up, whatever its kind."""
    times = (0, UTIME_NOW)
    utimensat(place / name, times, times, flags=0x100)  # AT_SYMLINK_NOFOLLOW


@pytest.mark.parametrize(
    ("name", "mode", "size"),
    [
        ("file", stat.S_IFREG | 0o640, 5000),
        ("link", stat.S_IFLNK | 0o777, 4),
        ("fifo", stat.S_IFIFO | 0o604, 0),
        ("device", stat.S_IFCHR | 0o620, 0),
    ],
)
def test_lstat_tells_what_an_object_is(
    place: Place, name: str, mode: int, size: int
) -> None:
    status = os.lstat(place / name)

    assert (status.st_mode, status.st_size, status.st_nlink) == (mode, size, 1)
    assert (status.st_atime_ns, status.st_mtime_ns) == (OLD_NS, OLD_NS)
    assert status.st_ctime_ns > OLD_NS
    assert status.st_rdev == (os.makedev(1, 5) if name == "device" else 0)


def test_owners_are_shown(place: Place) -> None:
    for name in ("file", "directory"):
        status = os.stat(place / name)
        assert (status.st_uid, status.st_gid) == (USER, GROUP)
    assert stat.S_IMODE(os.stat(place / "directory").st_mode) == 0o1751


def test_stat_follows_links_and_lstat_does_not(place: Place) -> None:
    assert os.stat(place / "link").st_ino == os.stat(place / "file").st_ino
    assert os.lstat(place / "link").st_ino != os.stat(place / "file").st_ino
    with refused(errno.ENOENT):
        os.stat(place / "dangling")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("missing", errno.ENOENT),
        ("file/x", errno.ENOTDIR),
        ("file/", errno.ENOTDIR),
        ("missing/x", errno.ENOENT),
    ],
)
def test_stat_refuses(place: Place, name: str, code: int) -> None:
    with refused(code):
        os.stat(f"{place.path}/{name}")


def test_a_name_that_was_missing_is_found_when_it_is_made(place: Place) -> None:
    with refused(errno.ENOENT):
        os.stat(place / "new")

    (place / "new").touch()

    assert os.stat(place / "new").st_size == 0


def test_every_object_has_a_number_of_its_own(place: Place) -> None:
    numbers = {os.lstat(place / name).st_ino for name in NAMES}

    assert len(numbers) == len(NAMES)


def test_all_objects_are_on_one_device(place: Place) -> None:
    devices = {os.lstat(place / name).st_dev for name in NAMES}

    assert devices == {os.stat(place.path).st_dev}


@pytest.mark.parametrize("name", NAMES)
def test_the_number_lasts_through_changes_moves_and_remounts(
    place: Place, name: str
) -> None:
    ino = os.lstat(place / name).st_ino

    change(place, name)
    assert os.lstat(place / name).st_ino == ino
    os.rename(place / name, place / "moved")
    assert os.lstat(place / "moved").st_ino == ino
    place.remount()

    assert os.lstat(place / "moved").st_ino == ino


@pytest.mark.parametrize("name", NAMES)
def test_the_number_is_the_same_before_and_after_a_remount(
    place: Place, name: str
) -> None:
    ino = os.lstat(place / name).st_ino

    place.remount()

    assert os.lstat(place / name).st_ino == ino


def test_an_open_file_has_the_number_of_its_name(place: Place) -> None:
    with opened(place / "file") as fd:
        change(place, "file")

        assert os.fstat(fd) == os.stat(place / "file")


def test_a_directory_counts_its_directories(place: Place) -> None:
    assert os.stat(place / "directory").st_nlink == 3

    os.mkdir(place / "directory/new")

    links = place.expected(
        4, because="now two layers hold it: overlayfs.md 2.3", lower=1
    )
    assert os.stat(place / "directory").st_nlink == links


def test_a_directory_in_several_layers_has_one_link(place: Place) -> None:
    links = os.stat(place.path).st_nlink

    merged = place.expected(
        3, because="nobody counts what merging hides: overlayfs.md 2.3", lower=1
    )
    assert links == merged


def test_a_directory_has_no_other_content_than_its_names(place: Place) -> None:
    before = os.stat(place / "directory")

    change(place, "directory")

    after = os.stat(place / "directory")
    assert after.st_mode == before.st_mode
    assert sorted(os.listdir(place / "directory")) == ["child", "inner"]


def test_blocks_are_counted_in_512_bytes(place: Place) -> None:
    with opened(place / "file", os.O_RDWR) as fd:
        os.fsync(fd)

    status = os.stat(place / "file")
    assert status.st_blocks * 512 == 8192
    assert status.st_blksize >= 512


def test_the_size_follows_every_write(place: Place) -> None:
    with opened(place / "file", os.O_RDWR | os.O_APPEND) as fd:
        for size in (5001, 5002, 5003):
            os.write(fd, b"y")
            assert os.fstat(fd).st_size == os.stat(place / "file").st_size == size


def test_an_object_found_through_dot_dot_is_the_same(place: Place) -> None:
    path = f"{place.path}/directory/inner/../../file"

    assert os.path.samefile(path, place / "file")
    assert os.path.samefile(f"{place.path}/directory/..", place.path)
