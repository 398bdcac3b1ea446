"""mkdir(2)."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from support.posix_descriptors import umask
from support.posix_errors import refused
from support.posix_objects import (
    GROUP,
    OLD_NS,
    OTHER_GROUP,
    USER,
    directory,
    file,
    itself,
    placed,
    symlink,
)
from support.posix_place import Place
from support.posix_processes import as_user

pytestmark = placed(
    file("file"),
    directory("directory"),
    file("directory/child"),
    symlink("dangling", "missing"),
    symlink("to-directory", "directory"),
)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        pytest.param("file", errno.EEXIST, id="file"),
        pytest.param("directory", errno.EEXIST, id="directory"),
        pytest.param("dangling", errno.EEXIST, id="dangling-link"),
        pytest.param("to-directory", errno.EEXIST, id="link"),
        pytest.param(".", errno.EEXIST, id="dot"),
        pytest.param("directory/..", errno.EEXIST, id="dot-dot"),
        pytest.param("missing/new", errno.ENOENT, id="missing-parent"),
        pytest.param("file/new", errno.ENOTDIR, id="below-a-file"),
    ],
)
def test_mkdir_refuses(place: Place, name: str, code: int) -> None:
    with refused(code):
        os.mkdir(f"{place.path}/{name}")


@pytest.mark.parametrize(
    ("mask", "asked", "mode"),
    [
        (0o022, 0o777, 0o755),
        (0o077, 0o777, 0o700),
        (0o000, 0o1777, 0o1777),
        (0o000, 0o000, 0o000),
    ],
)
def test_the_umask_takes_bits_from_the_mode(
    place: Place, mask: int, asked: int, mode: int
) -> None:
    with umask(mask):
        os.mkdir(place / "new", asked)

    assert stat.S_IMODE(os.stat(place / "new").st_mode) == mode


def test_a_new_directory_is_empty_and_has_two_links(place: Place) -> None:
    os.mkdir(place / "new")

    status = os.stat(place / "new")
    assert os.listdir(place / "new") == []
    assert status.st_nlink == 2
    assert status.st_mtime_ns > OLD_NS
    assert os.stat(place.path).st_mtime_ns > OLD_NS


def test_a_child_adds_a_link_to_a_new_directory(place: Place) -> None:
    os.mkdir(place / "new")

    os.mkdir(place / "new/child")

    assert os.stat(place / "new").st_nlink == 3


def test_a_trailing_slash_is_allowed(place: Place) -> None:
    os.mkdir(f"{place.path}/new/")

    assert os.listdir(place / "new") == []


def test_directories_are_made_deep_down(place: Place) -> None:
    deep = place / "directory/a/b/c/d/e"

    os.makedirs(deep)

    assert deep.is_dir()
    assert sorted(os.listdir(place / "directory")) == ["a", "child"]


@placed(directory("shared", mode=0o2777, owner=(0, OTHER_GROUP)))
def test_a_set_group_id_directory_passes_group_and_bit_on(place: Place) -> None:
    with umask(0o022):
        as_user(lambda: os.mkdir(place / "shared/new"), USER, GROUP)

    status = os.stat(place / "shared/new")
    assert (status.st_uid, status.st_gid) == (USER, OTHER_GROUP)
    assert stat.S_IMODE(status.st_mode) == 0o2755


@placed(itself(mode=0o777))
def test_a_new_directory_belongs_to_who_makes_it(place: Place) -> None:
    as_user(lambda: os.mkdir(place / "new", 0o700), USER, GROUP)

    status = os.stat(place / "new")
    assert (status.st_uid, status.st_gid) == (USER, GROUP)


def test_a_directory_made_where_one_was_removed_is_empty(place: Place) -> None:
    os.unlink(place / "directory/child")
    os.rmdir(place / "directory")

    os.mkdir(place / "directory", 0o711)

    assert os.listdir(place / "directory") == []
    assert stat.S_IMODE(os.stat(place / "directory").st_mode) == 0o711
    with refused(errno.ENOENT):
        os.stat(place / "directory/child")


def test_a_directory_made_where_a_file_was_removed_is_empty(place: Place) -> None:
    os.unlink(place / "file")

    os.mkdir(place / "file")

    assert os.listdir(place / "file") == []
    assert sorted(os.listdir(place.path)) == [
        "dangling",
        "directory",
        "file",
        "to-directory",
    ]


def test_a_directory_made_anew_is_empty_after_a_remount(place: Place) -> None:
    os.unlink(place / "directory/child")
    os.rmdir(place / "directory")
    os.mkdir(place / "directory")

    place.remount()

    assert os.listdir(place / "directory") == []
