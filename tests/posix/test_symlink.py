"""symlink(2) and readlink(2)."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from support.posix_errors import refused
from support.posix_objects import (
    GROUP,
    OLD_NS,
    USER,
    directory,
    file,
    itself,
    placed,
    symlink,
)
from support.posix_place import Place
from support.posix_processes import as_user

LONGEST = "t" * 4095  # PATH_MAX less the zero at the end

pytestmark = placed(
    file("file", b"content"),
    directory("directory"),
    file("directory/child", b"child"),
    symlink("link", "file"),
    symlink("dangling", "missing"),
    symlink("up", "directory/../file"),
    symlink("to-directory", "directory"),
)


@pytest.mark.parametrize(
    "target",
    [
        pytest.param("file", id="name"),
        pytest.param("/etc/passwd", id="absolute"),
        pytest.param("missing/../..//odd/", id="kept-as-it-is"),
        pytest.param("a" * 255, id="255-bytes"),
        pytest.param(LONGEST, id="longest"),
        pytest.param("\udcff\udcfe", id="not-utf-8"),
    ],
)
def test_readlink_gives_what_symlink_was_given(place: Place, target: str) -> None:
    os.symlink(target, place / "new")

    assert os.readlink(place / "new") == target
    status = os.lstat(place / "new")
    assert status.st_size == len(os.fsencode(target))
    assert stat.S_ISLNK(status.st_mode)
    assert status.st_nlink == 1


@placed(symlink("longest", LONGEST))
def test_the_longest_target_is_read_and_kept(place: Place) -> None:
    assert os.readlink(place / "longest") == LONGEST

    os.rename(place / "longest", place / "moved")

    assert os.readlink(place / "moved") == LONGEST


@pytest.mark.parametrize(
    ("target", "name", "code"),
    [
        pytest.param("x", "file", errno.EEXIST, id="file"),
        pytest.param("x", "directory", errno.EEXIST, id="directory"),
        pytest.param("x", "dangling", errno.EEXIST, id="dangling"),
        pytest.param("", "new", errno.ENOENT, id="empty-target"),
        pytest.param("t" * 4096, "new", errno.ENAMETOOLONG, id="too-long"),
        pytest.param("x", "missing/new", errno.ENOENT, id="missing-parent"),
        pytest.param("x", "file/new", errno.ENOTDIR, id="below-a-file"),
    ],
)
def test_symlink_refuses(place: Place, target: str, name: str, code: int) -> None:
    with refused(code):
        os.symlink(target, place / name)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("file", errno.EINVAL),
        ("directory", errno.EINVAL),
        ("missing", errno.ENOENT),
        ("file/x", errno.ENOTDIR),
    ],
)
def test_readlink_refuses(place: Place, name: str, code: int) -> None:
    with refused(code):
        os.readlink(place / name)


def test_links_are_followed(place: Place) -> None:
    assert (place / "link").read_bytes() == b"content"
    assert (place / "up").read_bytes() == b"content"
    assert (place / "to-directory/child").read_bytes() == b"child"
    with refused(errno.ENOENT):
        os.stat(place / "dangling")


def test_a_link_follows_its_name_not_the_file(place: Place) -> None:
    os.rename(place / "file", place / "away")
    with refused(errno.ENOENT):
        os.stat(place / "link")

    (place / "file").write_bytes(b"another")

    assert (place / "link").read_bytes() == b"another"


def test_removing_a_link_keeps_its_target(place: Place) -> None:
    os.unlink(place / "link")
    os.unlink(place / "to-directory")

    assert (place / "file").read_bytes() == b"content"
    assert (place / "directory/child").read_bytes() == b"child"


def test_a_link_made_anew_has_the_new_target(place: Place) -> None:
    os.unlink(place / "link")

    os.symlink("directory/child", place / "link")

    assert os.readlink(place / "link") == "directory/child"
    assert (place / "link").read_bytes() == b"child"


def test_a_new_link_changes_its_directory(place: Place) -> None:
    os.symlink("x", place / "directory/new")

    assert os.stat(place / "directory").st_mtime_ns > OLD_NS
    assert os.stat(place.path).st_mtime_ns == OLD_NS


@placed(itself(mode=0o777))
def test_a_new_link_belongs_to_who_makes_it(place: Place) -> None:
    as_user(lambda: os.symlink("x", place / "new"), USER, GROUP)

    status = os.lstat(place / "new")
    assert (status.st_uid, status.st_gid) == (USER, GROUP)


def test_forty_links_are_followed_and_no_more(place: Place) -> None:
    os.symlink("file", place / "link-0")
    for number in range(1, 41):
        os.symlink(f"link-{number - 1}", place / f"link-{number}")

    assert (place / "link-39").read_bytes() == b"content"  # the fortieth
    with refused(errno.ELOOP):
        os.stat(place / "link-40")
