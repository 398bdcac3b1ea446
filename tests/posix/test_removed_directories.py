"""Directories that were removed and are still open."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from support.posix_descriptors import opened
from support.posix_errors import refused
from support.posix_objects import GROUP, OLD_NS, USER, directory, file, placed
from support.posix_place import Place

FLAGS = os.O_RDONLY | os.O_DIRECTORY

pytestmark = placed(directory("directory"), file("file"), directory("other"))


@pytest.mark.parametrize("way", ["rmdir", "rename-over"])
def test_a_removed_directory_is_empty(place: Place, way: str) -> None:
    with opened(place / "directory", FLAGS) as fd:
        if way == "rmdir":
            os.rmdir(place / "directory")
        else:
            os.rename(place / "other", place / "directory")

        assert os.listdir(fd) == []
        assert stat.S_ISDIR(os.fstat(fd).st_mode)


def test_nothing_is_made_in_it(place: Place) -> None:
    with opened(place / "directory", FLAGS) as fd:
        os.rmdir(place / "directory")

        for action in (
            lambda: os.open("new", os.O_CREAT | os.O_WRONLY, dir_fd=fd),
            lambda: os.mkdir("new", dir_fd=fd),
            lambda: os.mkfifo("new", dir_fd=fd),
            lambda: os.symlink("x", "new", dir_fd=fd),
            lambda: os.link(place / "file", "new", dst_dir_fd=fd),
            lambda: os.rename(place / "file", "new", dst_dir_fd=fd),
        ):
            with refused(errno.ENOENT):
                action()

    assert (place / "file").exists()


def test_nothing_is_found_in_it(place: Place) -> None:
    with opened(place / "directory", FLAGS) as fd:
        os.rmdir(place / "directory")

        with refused(errno.ENOENT):
            os.stat("anything", dir_fd=fd)
        with refused(errno.ENOENT):
            os.unlink("anything", dir_fd=fd)


def test_a_new_directory_of_the_name_is_another_one(place: Place) -> None:
    with opened(place / "directory", FLAGS) as fd:
        ino = os.fstat(fd).st_ino
        os.rmdir(place / "directory")
        os.mkdir(place / "directory")
        (place / "directory/child").touch()

        with refused(errno.ENOENT):
            os.stat("child", dir_fd=fd)
        with refused(errno.ENOENT):
            os.mkdir("new", dir_fd=fd)
        assert os.fstat(fd).st_ino == ino
    assert os.listdir(place / "directory") == ["child"]


def test_its_link_count_is_zero_if_it_was_new(place: Place) -> None:
    os.mkdir(place / "new")
    with opened(place / "new", FLAGS) as fd:
        os.rmdir(place / "new")

        assert os.fstat(fd).st_nlink == 0


def test_its_files_that_are_open_live_on(place: Place) -> None:
    with opened(place / "directory/file", os.O_CREAT | os.O_RDWR) as fd:
        os.unlink(place / "directory/file")
        os.rmdir(place / "directory")

        os.write(fd, b"alive")
        assert os.pread(fd, 10, 0) == b"alive"


@pytest.mark.parametrize("way", ["rmdir", "rename-over"])
def test_its_attributes_are_still_its_own(place: Place, way: str) -> None:
    os.setxattr(place / "directory", "user.note", b"removed")
    with opened(place / "directory", FLAGS) as fd:
        if way == "rmdir":
            os.rmdir(place / "directory")
            os.mkdir(place / "directory")
        else:
            os.rename(place / "other", place / "directory")
        os.setxattr(place / "directory", "user.note", b"the new one")

        assert os.listxattr(fd) == ["user.note"]
        assert os.getxattr(fd, "user.note") == b"removed"
        os.setxattr(fd, "user.note", b"changed")
        assert os.getxattr(fd, "user.note") == b"changed"
        os.removexattr(fd, "user.note")
        assert os.listxattr(fd) == []
    assert os.getxattr(place / "directory", "user.note") == b"the new one"


@pytest.mark.parametrize("way", ["rmdir", "rename-over"])
def test_it_can_be_changed(place: Place, way: str) -> None:
    os.chmod(place / "directory", 0o711)
    with opened(place / "directory", FLAGS) as fd:
        if way == "rmdir":
            os.rmdir(place / "directory")
            os.mkdir(place / "directory", 0o755)
        else:
            os.rename(place / "other", place / "directory")

        os.fchmod(fd, 0o701)
        os.fchown(fd, USER, GROUP)
        os.utime(fd, ns=(OLD_NS, OLD_NS))
        os.fsync(fd)

        status = os.fstat(fd)
        assert stat.S_IMODE(status.st_mode) == 0o701
        assert (status.st_uid, status.st_gid) == (USER, GROUP)
        assert status.st_mtime_ns == OLD_NS
    status = os.stat(place / "directory")
    assert stat.S_IMODE(status.st_mode) == 0o755
    assert (status.st_uid, status.st_gid) == (0, 0)


def test_one_that_was_never_changed_cannot_be_from_then_on(place: Place) -> None:
    change = place.expected(
        lambda fd: os.fchmod(fd, 0o701),
        because="overlayfs would put the copy at the old name, over the whiteout",
        lower=_refused_change,
    )
    with opened(place / "directory", FLAGS) as fd:
        os.rmdir(place / "directory")

        change(fd)
    assert not (place / "directory").exists()


def _refused_change(fd: int) -> None:
    mode = os.fstat(fd).st_mode
    with refused(errno.ENOTDIR):
        os.fchmod(fd, 0o701)
    with refused(errno.ENOTDIR):
        os.setxattr(fd, "user.note", b"new")
    assert os.fstat(fd).st_mode == mode
