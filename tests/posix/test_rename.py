"""rename(2) of what is no directory."""

from __future__ import annotations

import errno
import os
import stat

import pytest

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
    hard_link,
    placed,
    symlink,
)
from support.posix_place import Place
from support.posix_processes import as_user

pytestmark = placed(
    file("file", b"content", mode=0o640, owner=(USER, GROUP)),
    file("other", b"other content"),
    fifo("fifo"),
    bound_socket("socket"),
    symlink("link", "file"),
    directory("empty"),
    directory("full"),
    file("full/child", b"child"),
)
NAMES = ["empty", "fifo", "file", "full", "link", "other", "socket"]
KINDS = ["file", "fifo", "socket", "link"]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("target", ["new", "empty/new", "full/child", "other"])
def test_an_object_moves_with_all_it_has(place: Place, name: str, target: str) -> None:
    before = os.lstat(place / name)

    os.rename(place / name, place / target)

    after = os.lstat(place / target)
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
    assert (after.st_uid, after.st_gid) == (before.st_uid, before.st_gid)
    assert (after.st_mtime_ns, after.st_nlink) == (OLD_NS, 1)
    with refused(errno.ENOENT):
        os.lstat(place / name)
    assert name not in os.listdir(place.path)
    assert os.listdir((place / target).parent).count(os.path.basename(target)) == 1


def test_a_moved_object_is_found_after_a_remount(place: Place) -> None:
    ino = os.stat(place / "file").st_ino
    os.rename(place / "file", place / "full/child")

    place.remount()

    assert (place / "full/child").read_bytes() == b"content"
    assert os.stat(place / "full/child").st_ino == ino
    assert sorted(os.listdir(place.path)) == [it for it in NAMES if it != "file"]
    assert os.listdir(place / "full") == ["child"]


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        pytest.param("missing", "new", errno.ENOENT, id="missing"),
        pytest.param("missing", "file", errno.ENOENT, id="missing-over-file"),
        pytest.param("file", "missing/new", errno.ENOENT, id="missing-parent"),
        pytest.param("file", "other/new", errno.ENOTDIR, id="below-a-file"),
        pytest.param("file", "empty", errno.EISDIR, id="file-over-directory"),
        pytest.param("file", "full", errno.EISDIR, id="file-over-full-directory"),
        pytest.param("link", "empty", errno.EISDIR, id="link-over-directory"),
        pytest.param("empty", "file", errno.ENOTDIR, id="directory-over-file"),
        pytest.param("empty", "link", errno.ENOTDIR, id="directory-over-link"),
        pytest.param("file", "new/", errno.ENOTDIR, id="file-to-slash"),
        pytest.param("file/", "new", errno.ENOTDIR, id="file-and-slash"),
        pytest.param(".", "new", errno.EBUSY, id="dot"),
        pytest.param("empty", "..", errno.EBUSY, id="over-dot-dot"),
    ],
)
def test_rename_refuses(place: Place, old: str, new: str, code: int) -> None:
    with refused(code):
        os.rename(f"{place.path}/{old}", f"{place.path}/{new}")

    assert sorted(os.listdir(place.path)) == NAMES
    assert (place / "file").read_bytes() == b"content"


def test_a_file_renamed_to_itself_stays(place: Place) -> None:
    os.rename(place / "file", place / "file")

    assert (place / "file").read_bytes() == b"content"
    assert sorted(os.listdir(place.path)) == NAMES


@placed(file("one", b"shared"), hard_link("two", "one"))
def test_a_rename_over_the_file_s_own_other_name_does_nothing(place: Place) -> None:
    os.rename(place / "one", place / "two")

    is_there = place.expected(
        True,
        because="names of a lower file are objects of their own: overlayfs.md 2.6",
        lower=False,
    )
    assert (place / "one").exists() is is_there
    assert (place / "two").read_bytes() == b"shared"


def test_a_rename_over_a_new_link_of_the_file_does_nothing(place: Place) -> None:
    os.link(place / "file", place / "twin")

    os.rename(place / "file", place / "twin")

    assert os.stat(place / "file") == os.stat(place / "twin")
    assert os.stat(place / "file").st_nlink == 2


def test_a_replaced_file_lives_on_while_it_is_open(place: Place) -> None:
    with opened(place / "other") as fd:
        os.rename(place / "file", place / "other")

        assert os.read(fd, 100) == b"other content"
    assert (place / "other").read_bytes() == b"content"


def test_an_open_file_is_still_itself_under_its_new_name(place: Place) -> None:
    with opened(place / "file") as reader:
        ino = os.fstat(reader).st_ino
        os.rename(place / "file", place / "empty/moved")
        with opened(place / "empty/moved", os.O_WRONLY) as writer:
            os.write(writer, b"CONTENT")

        assert os.read(reader, 100) == b"CONTENT"
        assert os.fstat(reader).st_ino == ino


def test_replacing_one_of_two_names_leaves_the_other(place: Place) -> None:
    os.link(place / "other", place / "twin")

    os.rename(place / "file", place / "other")

    assert (place / "twin").read_bytes() == b"other content"
    assert os.stat(place / "twin").st_nlink == 1


def test_files_move_round_in_a_circle(place: Place) -> None:
    for _ in range(3):
        os.rename(place / "file", place / "spare")
        os.rename(place / "other", place / "file")
        os.rename(place / "spare", place / "other")

    assert (place / "file").read_bytes() == b"other content"
    assert (place / "other").read_bytes() == b"content"
    assert sorted(os.listdir(place.path)) == NAMES


def test_a_file_moves_to_a_name_that_was_removed(place: Place) -> None:
    os.unlink(place / "other")

    os.rename(place / "file", place / "other")

    assert (place / "other").read_bytes() == b"content"
    assert os.listdir(place.path).count("other") == 1
    assert "file" not in os.listdir(place.path)


def test_a_file_moves_to_where_a_directory_was_removed(place: Place) -> None:
    os.rmdir(place / "empty")

    os.rename(place / "file", place / "empty")

    assert stat.S_ISREG(os.stat(place / "empty").st_mode)


def test_rename_changes_the_times_of_both_directories_and_the_file(
    place: Place,
) -> None:
    before = os.stat(place / "file")
    wait_for_the_clock(before.st_ctime_ns)

    os.rename(place / "file", place / "empty/moved")

    after = os.stat(place / "empty/moved")
    assert os.stat(place.path).st_mtime_ns > before.st_ctime_ns
    assert os.stat(place / "empty").st_mtime_ns > before.st_ctime_ns
    assert os.stat(place / "full").st_mtime_ns == OLD_NS
    assert after.st_ctime_ns > before.st_ctime_ns
    assert after.st_mtime_ns == OLD_NS


def test_a_link_is_renamed_not_its_target(place: Place) -> None:
    os.rename(place / "link", place / "renamed")

    assert os.readlink(place / "renamed") == "file"
    assert (place / "file").exists()


@placed(
    directory("sticky", mode=0o1777),
    file("sticky/own", owner=(USER, GROUP)),
    file("sticky/other", owner=(OTHER_USER, GROUP)),
    directory("open", mode=0o777),
)
@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        pytest.param("sticky/own", "sticky/new", 0, id="own"),
        pytest.param("sticky/own", "open/new", 0, id="own-away"),
        pytest.param("sticky/other", "sticky/new", errno.EPERM, id="other"),
        pytest.param("sticky/own", "sticky/other", errno.EPERM, id="over-other"),
        pytest.param("sticky/own", "new", errno.EACCES, id="into-closed"),
        pytest.param("file", "open/new", errno.EACCES, id="out-of-closed"),
    ],
)
def test_a_user_renames_what_the_directories_permit(
    place: Place, old: str, new: str, code: int
) -> None:
    def move() -> None:
        os.rename(place / old, place / new)

    if code:
        with refused(code):
            as_user(move, USER, GROUP)
    else:
        as_user(move, USER, GROUP)

    assert (place / old).exists() is bool(code)
