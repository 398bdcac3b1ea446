"""rename(2) of directories.

The kernel's overlayfs moves directories of lower layers only with
``redirect_dir=on``, with which the suite mounts it. By default it gives EXDEV.
"""

from __future__ import annotations

import errno
import os
import stat

import pytest

from support.posix_descriptors import opened
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
    file("file", b"content"),
    directory("empty"),
    directory("full", mode=0o2750, owner=(USER, GROUP)),
    file("full/child", b"child"),
    directory("full/inner"),
    file("full/inner/deep", b"deep"),
    symlink("full/inner/up", "../child"),
    directory("target"),
    directory("busy"),
    file("busy/resident"),
)


def tree(path: object) -> dict[str, list[str]]:
    """Return the names in each directory of a tree."""
    found = os.walk(str(path))
    return {
        os.path.relpath(at, str(path)): sorted(names + files)
        for at, names, files in found
    }


FULL = {".": ["child", "inner"], "inner": ["deep", "up"]}


@pytest.mark.parametrize("new", ["new", "target", "busy/new", "target/new"])
def test_a_directory_moves_with_all_below_it(place: Place, new: str) -> None:
    before = os.stat(place / "full")
    deep = os.stat(place / "full/inner/deep")

    os.rename(place / "full", place / new)

    after = os.stat(place / new)
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
    assert (after.st_uid, after.st_gid) == (USER, GROUP)
    assert after.st_mtime_ns == OLD_NS
    assert tree(place / new) == FULL
    assert (place / new / "inner/up").read_bytes() == b"child"
    assert os.stat(place / new / "inner/deep").st_ino == deep.st_ino
    with refused(errno.ENOENT):
        os.stat(place / "full")
    assert "full" not in os.listdir(place.path)


@pytest.mark.parametrize("new", ["new", "target", "busy/new"])
def test_a_moved_directory_is_whole_after_a_remount(place: Place, new: str) -> None:
    before = os.stat(place / "full")
    os.rename(place / "full", place / new)

    place.remount()

    assert tree(place / new) == FULL
    assert (place / new / "inner/deep").read_bytes() == b"deep"
    assert os.stat(place / new).st_ino == before.st_ino
    assert "full" not in os.listdir(place.path)


def test_a_moved_directory_is_changed_like_any_other(place: Place) -> None:
    os.rename(place / "full", place / "moved")

    os.unlink(place / "moved/child")
    (place / "moved/inner/deep").write_bytes(b"changed")
    (place / "moved/inner/new").write_bytes(b"new")
    os.rename(place / "moved/inner", place / "moved/renamed")

    assert tree(place / "moved") == {
        ".": ["renamed"],
        "renamed": ["deep", "new", "up"],
    }
    assert (place / "moved/renamed/deep").read_bytes() == b"changed"
    place.remount()
    assert tree(place / "moved") == {
        ".": ["renamed"],
        "renamed": ["deep", "new", "up"],
    }


def test_a_directory_moves_on_and_back(place: Place) -> None:
    for new in ("one", "target/two", "full"):
        old = {"one": "full", "target/two": "one", "full": "target/two"}[new]
        os.rename(place / old, place / new)
        assert tree(place / new) == FULL

    place.remount()

    assert tree(place / "full") == FULL
    assert sorted(os.listdir(place.path)) == [
        "busy",
        "empty",
        "file",
        "full",
        "target",
    ]


def test_a_new_directory_under_a_moved_one_s_name_is_empty(place: Place) -> None:
    os.rename(place / "full", place / "moved")

    os.mkdir(place / "full")

    assert os.listdir(place / "full") == []
    assert tree(place / "moved") == FULL
    place.remount()
    assert os.listdir(place / "full") == []
    assert tree(place / "moved") == FULL


def test_a_directory_replaces_an_emptied_one(place: Place) -> None:
    os.unlink(place / "busy/resident")

    os.rename(place / "full", place / "busy")

    assert tree(place / "busy") == FULL
    place.remount()
    assert tree(place / "busy") == FULL


def test_an_emptied_directory_moves_empty(place: Place) -> None:
    os.unlink(place / "busy/resident")

    os.rename(place / "busy", place / "target/busy")

    assert os.listdir(place / "target/busy") == []
    place.remount()
    assert os.listdir(place / "target/busy") == []


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        pytest.param("full", "full/new", errno.EINVAL, id="into-itself"),
        pytest.param("full", "full/inner/new", errno.EINVAL, id="deep-into-itself"),
        pytest.param("full", "full/inner", errno.EINVAL, id="over-its-own-child"),
        pytest.param("full/inner", "full", errno.ENOTEMPTY, id="over-its-parent"),
        pytest.param("empty", "busy", errno.ENOTEMPTY, id="over-a-full-one"),
        pytest.param("full", "busy", errno.ENOTEMPTY, id="full-over-full"),
        pytest.param("full", "file", errno.ENOTDIR, id="over-a-file"),
        pytest.param("file", "full", errno.EISDIR, id="file-over-directory"),
        pytest.param("full", "missing/new", errno.ENOENT, id="missing-parent"),
    ],
)
def test_rename_refuses(place: Place, old: str, new: str, code: int) -> None:
    with refused(code):
        os.rename(place / old, place / new)

    assert tree(place / "full") == FULL
    assert os.listdir(place / "busy") == ["resident"]


def test_a_directory_renamed_to_itself_stays(place: Place) -> None:
    os.rename(place / "full", place / "full")

    assert tree(place / "full") == FULL


def test_the_parent_of_a_moved_directory_is_the_new_one(place: Place) -> None:
    os.rename(place / "full", place / "target/moved")

    assert os.stat(place / "target/moved/..").st_ino == os.stat(place / "target").st_ino
    with opened(place / "target/moved", os.O_RDONLY | os.O_DIRECTORY) as fd:
        parent = os.stat("..", dir_fd=fd).st_ino
    assert parent == os.stat(place / "target").st_ino


def test_an_open_directory_moves_along(place: Place) -> None:
    with opened(place / "full", os.O_RDONLY | os.O_DIRECTORY) as fd:
        os.rename(place / "full", place / "target/moved")
        os.close(os.open("new", os.O_CREAT | os.O_WRONLY, dir_fd=fd))

        assert sorted(os.listdir(fd)) == ["child", "inner", "new"]
    assert (place / "target/moved/new").exists()


def test_a_file_open_below_a_moved_directory_can_be_written(place: Place) -> None:
    with opened(place / "full/inner/deep", os.O_RDWR) as fd:
        os.rename(place / "full", place / "moved")
        os.write(fd, b"DEEP")
        os.fchmod(fd, 0o600)

    assert (place / "moved/inner/deep").read_bytes() == b"DEEP"
    assert stat.S_IMODE(os.stat(place / "moved/inner/deep").st_mode) == 0o600


def test_the_link_counts_of_new_parents_follow(place: Place) -> None:
    os.makedirs(place / "new/one/moving")
    os.mkdir(place / "new/two")

    os.rename(place / "new/one/moving", place / "new/two/moved")

    assert os.stat(place / "new/one").st_nlink == 2
    assert os.stat(place / "new/two").st_nlink == 3


@placed(
    directory("open", mode=0o777),
    directory("open/other", owner=(OTHER_USER, GROUP)),
)
def test_a_user_moves_another_s_directory_only_within_its_parent(place: Place) -> None:
    # Its ".." would change: that is a write to the directory itself.
    as_user(
        lambda: os.rename(place / "open/other", place / "open/renamed"), USER, GROUP
    )
    os.mkdir(place / "open/inner")
    os.chmod(place / "open/inner", 0o777)

    with refused(errno.EACCES):
        as_user(
            lambda: os.rename(place / "open/renamed", place / "open/inner/moved"),
            USER,
            GROUP,
        )

    assert sorted(os.listdir(place / "open")) == ["inner", "renamed"]
