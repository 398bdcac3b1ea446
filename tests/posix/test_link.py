"""link(2) and linkat(2)."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from support.posix_calls import AT_EMPTY_PATH, AT_SYMLINK_FOLLOW, linkat
from support.posix_descriptors import opened, wait_for_the_clock
from support.posix_errors import refused
from support.posix_objects import (
    OLD_NS,
    directory,
    fifo,
    file,
    hard_link,
    placed,
    symlink,
)
from support.posix_place import Place

pytestmark = placed(
    file("file", b"content"),
    directory("directory"),
    symlink("link", "file"),
    symlink("dangling", "missing"),
    fifo("fifo"),
)


@pytest.mark.parametrize("name", ["file", "fifo", "dangling"])
def test_both_names_are_one_object(place: Place, name: str) -> None:
    before = os.lstat(place / name)

    linkat(place / name, place / "directory/new")

    one, two = os.lstat(place / name), os.lstat(place / "directory/new")
    assert one == two
    assert one.st_nlink == 2
    assert (one.st_ino, one.st_mode) == (before.st_ino, before.st_mode)


def test_a_change_through_one_name_is_seen_through_the_other(place: Place) -> None:
    os.link(place / "file", place / "new")

    (place / "new").write_bytes(b"changed")
    os.chmod(place / "new", 0o600)

    assert (place / "file").read_bytes() == b"changed"
    assert stat.S_IMODE(os.stat(place / "file").st_mode) == 0o600


def test_each_name_outlives_the_other(place: Place) -> None:
    os.link(place / "file", place / "new")

    os.unlink(place / "file")

    assert (place / "new").read_bytes() == b"content"
    assert os.stat(place / "new").st_nlink == 1


def test_names_stay_one_object_after_a_remount(place: Place) -> None:
    os.link(place / "file", place / "directory/new")
    ino = os.stat(place / "file").st_ino

    place.remount()

    (place / "file").write_bytes(b"changed")
    one, two = os.stat(place / "file"), os.stat(place / "directory/new")
    assert (one.st_ino, two.st_ino) == (ino, ino)
    assert two.st_nlink == 2
    assert (place / "directory/new").read_bytes() == b"changed"


@pytest.mark.parametrize(
    ("source", "target", "code"),
    [
        pytest.param("file", "directory", errno.EEXIST, id="directory-there"),
        pytest.param("file", "file", errno.EEXIST, id="itself"),
        pytest.param("file", "link", errno.EEXIST, id="link-there"),
        pytest.param("missing", "new", errno.ENOENT, id="missing"),
        pytest.param("directory", "new", errno.EPERM, id="directory"),
        pytest.param("file", "missing/new", errno.ENOENT, id="missing-parent"),
        pytest.param("file", "file/new", errno.ENOTDIR, id="below-a-file"),
        pytest.param("file/x", "new", errno.ENOTDIR, id="source-below-a-file"),
    ],
)
def test_link_refuses(place: Place, source: str, target: str, code: int) -> None:
    with refused(code):
        linkat(place / source, place / target)

    assert os.stat(place / "file").st_nlink == 1


def test_a_symbolic_link_is_linked_itself_or_followed_as_asked(place: Place) -> None:
    linkat(place / "link", place / "same-link")
    linkat(place / "link", place / "same-file", AT_SYMLINK_FOLLOW)

    assert os.readlink(place / "same-link") == "file"
    assert os.lstat(place / "same-file").st_ino == os.stat(place / "file").st_ino


def test_a_descriptor_is_linked_by_an_empty_path(place: Place) -> None:
    with opened(place / "file") as fd:
        linkat(fd, place / "new", AT_EMPTY_PATH)

        assert os.fstat(fd).st_nlink == 2
    assert (place / "new").read_bytes() == b"content"


def test_a_removed_file_cannot_get_a_name_again(place: Place) -> None:
    with opened(place / "file") as fd:
        os.unlink(place / "file")

        with refused(errno.ENOENT):
            linkat(fd, place / "again", AT_EMPTY_PATH)
    assert not (place / "again").exists()


def test_link_changes_the_times_of_the_directory_and_the_file(place: Place) -> None:
    before = os.stat(place / "file")
    wait_for_the_clock(before.st_ctime_ns)

    os.link(place / "file", place / "directory/new")

    after = os.stat(place / "file")
    assert after.st_ctime_ns > before.st_ctime_ns
    assert after.st_mtime_ns == OLD_NS
    assert os.stat(place / "directory").st_mtime_ns > OLD_NS
    assert os.stat(place.path).st_mtime_ns == OLD_NS


def test_link_makes_a_name_where_one_was_removed(place: Place) -> None:
    os.unlink(place / "link")

    os.link(place / "file", place / "link")

    assert os.lstat(place / "link").st_ino == os.stat(place / "file").st_ino
    assert os.listdir(place.path).count("link") == 1


@placed(file("one", b"shared"), hard_link("two", "one"), hard_link("three", "one"))
def test_names_that_were_linked_before_have_one_number_and_count(place: Place) -> None:
    statuses = [os.stat(place / name) for name in ("one", "two", "three")]

    assert len({status.st_ino for status in statuses}) == 1
    assert [status.st_nlink for status in statuses] == [3, 3, 3]


@placed(file("one", b"shared"), hard_link("two", "one"))
def test_a_change_of_a_linked_file_is_seen_through_all_names(place: Place) -> None:
    (place / "one").write_bytes(b"changed")

    other = place.expected(
        b"changed",
        because="copy-up breaks lower hard links, index=off: overlayfs.md 2.6",
        lower=b"shared",
    )
    assert (place / "two").read_bytes() == other
    links = place.expected(2, because="so the copy has its one name", lower=1)
    assert os.stat(place / "one").st_nlink == links


@placed(file("one", b"shared"), hard_link("two", "one"))
def test_removing_one_name_keeps_the_other(place: Place) -> None:
    os.unlink(place / "one")

    assert os.listdir(place.path).count("two") == 1
    assert (place / "two").read_bytes() == b"shared"
    links = place.expected(
        1, because="a lower file's count cannot change: overlayfs.md 2.3", lower=2
    )
    assert os.stat(place / "two").st_nlink == links


@placed(file("one", b"shared"), hard_link("two", "one"))
def test_a_copied_up_name_is_no_link_of_the_others(place: Place) -> None:
    # Programs that see one number twice take one file's content for the other's.
    others = {entry.name: entry.inode() for entry in os.scandir(place.path)}

    with open(place / "one", "r+b", buffering=0) as opened_one:
        opened_one.write(b"change")
        held = os.fstat(opened_one.fileno())

    one, two = os.stat(place / "one"), os.stat(place / "two")
    same = place.expected(True, because="overlayfs.rst, index=off", lower=False)
    assert (one.st_ino == two.st_ino) is same
    assert one.st_nlink == place.expected(2, because="as above", lower=1)
    assert (held.st_ino, held.st_nlink) == (one.st_ino, one.st_nlink)
    assert two.st_ino == others["two"]
    listed = {entry.name: entry.inode() for entry in os.scandir(place.path)}
    assert listed["one"] == one.st_ino
    place.remount()
    assert os.stat(place / "one").st_ino == one.st_ino
