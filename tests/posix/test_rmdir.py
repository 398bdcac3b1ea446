"""rmdir(2)."""

from __future__ import annotations

import errno
import os

import pytest

from support.posix_errors import refused
from support.posix_objects import (
    GROUP,
    OLD_NS,
    OTHER_USER,
    USER,
    directory,
    file,
    placed,
    symlink,
)
from support.posix_place import Place
from support.posix_processes import as_user

pytestmark = placed(
    file("file"),
    directory("empty"),
    directory("full"),
    file("full/child"),
    directory("nested"),
    directory("nested/inner"),
    symlink("to-empty", "empty"),
)
NAMES = ["empty", "file", "full", "nested", "to-empty"]


def test_an_empty_directory_is_gone(place: Place) -> None:
    os.rmdir(place / "empty")

    with refused(errno.ENOENT):
        os.lstat(place / "empty")
    assert sorted(os.listdir(place.path)) == ["file", "full", "nested", "to-empty"]
    assert os.stat(place.path).st_mtime_ns > OLD_NS


@pytest.mark.parametrize(
    ("name", "code"),
    [
        pytest.param("full", errno.ENOTEMPTY, id="file-inside"),
        pytest.param("nested", errno.ENOTEMPTY, id="directory-inside"),
        pytest.param("file", errno.ENOTDIR, id="file"),
        pytest.param("to-empty", errno.ENOTDIR, id="link"),
        pytest.param("missing", errno.ENOENT, id="missing"),
        pytest.param("empty/.", errno.EINVAL, id="dot"),
        pytest.param("empty/..", errno.ENOTEMPTY, id="dot-dot"),
    ],
)
def test_rmdir_refuses(place: Place, name: str, code: int) -> None:
    with refused(code):
        os.rmdir(f"{place.path}/{name}")

    assert sorted(os.listdir(place.path)) == NAMES


def test_an_emptied_directory_is_removed(place: Place) -> None:
    os.unlink(place / "full/child")
    os.rmdir(place / "full")
    os.rmdir(place / "nested/inner")
    os.rmdir(place / "nested")

    assert sorted(os.listdir(place.path)) == ["empty", "file", "to-empty"]


def test_a_removed_directory_stays_gone_after_a_remount(place: Place) -> None:
    os.unlink(place / "full/child")
    os.rmdir(place / "full")

    place.remount()

    assert sorted(os.listdir(place.path)) == ["empty", "file", "nested", "to-empty"]


def test_an_emptied_directory_is_removed_after_a_remount(place: Place) -> None:
    (place / "full/new").touch()
    os.unlink(place / "full/child")
    os.unlink(place / "full/new")
    place.remount()

    os.rmdir(place / "full")

    assert sorted(os.listdir(place.path)) == ["empty", "file", "nested", "to-empty"]


def test_a_directory_is_removed_and_made_again_and_again(place: Place) -> None:
    for number in range(4):
        os.rmdir(place / "empty")
        os.mkdir(place / "empty")
        assert os.listdir(place / "empty") == []
        (place / f"empty/{number}").touch()
        assert os.listdir(place / "empty") == [f"{number}"]
        os.unlink(place / f"empty/{number}")

    assert sorted(os.listdir(place.path)) == NAMES


def test_a_file_can_take_the_place_of_a_directory(place: Place) -> None:
    os.rmdir(place / "empty")

    (place / "empty").write_bytes(b"a file")

    assert (place / "empty").read_bytes() == b"a file"
    with refused(errno.ENOTDIR):
        os.rmdir(place / "empty")


def test_the_working_directory_of_a_process_is_not_busy(place: Place) -> None:
    former = os.getcwd()
    os.chdir(place / "empty")
    try:
        os.rmdir(place / "empty")

        with refused(errno.ENOENT):
            os.getcwd()
        assert os.listdir(".") == []
        with refused(errno.ENOENT):
            os.mkdir("new")
    finally:
        os.chdir(former)


@placed(
    directory("sticky", mode=0o1777),
    directory("sticky/own", owner=(USER, GROUP)),
    directory("sticky/other", owner=(OTHER_USER, GROUP)),
)
def test_a_user_removes_own_directories_only_where_it_is_sticky(place: Place) -> None:
    as_user(lambda: os.rmdir(place / "sticky/own"), USER, GROUP)
    with refused(errno.EPERM):
        as_user(lambda: os.rmdir(place / "sticky/other"), USER, GROUP)
    with refused(errno.EACCES):
        as_user(lambda: os.rmdir(place / "empty"), USER, GROUP)

    assert os.listdir(place / "sticky") == ["other"]
