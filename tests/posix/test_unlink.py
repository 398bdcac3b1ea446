"""unlink(2)."""

from __future__ import annotations

import errno
import os

import pytest

from support.posix_descriptors import wait_for_the_clock
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
    itself,
    placed,
    symlink,
)
from support.posix_place import Place
from support.posix_processes import as_user

pytestmark = placed(
    file("file", b"content"),
    fifo("fifo"),
    bound_socket("socket"),
    symlink("dangling", "missing"),
    directory("directory"),
    file("directory/child", b"child"),
    symlink("to-directory", "directory"),
)
NAMES = ["dangling", "directory", "fifo", "file", "socket", "to-directory"]


@pytest.mark.parametrize("name", ["file", "fifo", "socket", "dangling", "to-directory"])
def test_the_name_is_gone(place: Place, name: str) -> None:
    os.unlink(place / name)

    with refused(errno.ENOENT):
        os.lstat(place / name)
    with refused(errno.ENOENT):
        os.unlink(place / name)
    assert sorted(os.listdir(place.path)) == [it for it in NAMES if it != name]


@pytest.mark.parametrize("name", ["file", "fifo", "socket", "dangling"])
def test_the_name_stays_gone_after_a_remount(place: Place, name: str) -> None:
    os.lstat(place / name)
    os.unlink(place / name)

    place.remount()

    with refused(errno.ENOENT):
        os.lstat(place / name)
    assert sorted(os.listdir(place.path)) == [it for it in NAMES if it != name]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        pytest.param("missing", errno.ENOENT, id="missing"),
        pytest.param("directory", errno.EISDIR, id="directory"),
        pytest.param("directory/", errno.EISDIR, id="directory-and-slash"),
        pytest.param("file/", errno.ENOTDIR, id="file-and-slash"),
        pytest.param("file/x", errno.ENOTDIR, id="below-a-file"),
        pytest.param("missing/x", errno.ENOENT, id="missing-parent"),
        pytest.param(".", errno.EISDIR, id="dot"),
    ],
)
def test_unlink_refuses(place: Place, name: str, code: int) -> None:
    with refused(code):
        os.unlink(f"{place.path}/{name}")

    assert sorted(os.listdir(place.path)) == NAMES


def test_a_file_can_be_made_and_removed_again_and_again(place: Place) -> None:
    for number in range(5):
        os.unlink(place / "file")
        assert not (place / "file").exists()
        (place / "file").write_bytes(b"%d" % number)
        assert (place / "file").read_bytes() == b"%d" % number

    assert sorted(os.listdir(place.path)) == NAMES


def test_a_changed_file_is_removed_for_good(place: Place) -> None:
    (place / "file").write_bytes(b"changed")
    (place / "directory/child").write_bytes(b"changed")

    os.unlink(place / "file")
    os.unlink(place / "directory/child")

    assert sorted(os.listdir(place.path)) == [it for it in NAMES if it != "file"]
    assert os.listdir(place / "directory") == []


def test_unlink_changes_the_directory_and_the_other_name(place: Place) -> None:
    os.link(place / "file", place / "directory/twin")
    before = os.stat(place / "directory/twin")
    wait_for_the_clock(before.st_ctime_ns)

    os.unlink(place / "file")

    after = os.stat(place / "directory/twin")
    assert after.st_ctime_ns > before.st_ctime_ns
    assert after.st_nlink == 1
    assert os.stat(place.path).st_mtime_ns > before.st_ctime_ns


@placed(file("one"), hard_link("directory/two", "one"))
def test_unlink_changes_only_the_directory_of_the_name(place: Place) -> None:
    os.unlink(place / "directory/two")

    assert os.stat(place / "directory").st_mtime_ns > OLD_NS
    assert os.stat(place.path).st_mtime_ns == OLD_NS


@placed(
    itself(mode=0o755),
    directory("open", mode=0o777),
    file("open/file", owner=(OTHER_USER, GROUP)),
    directory("sticky", mode=0o1777),
    file("sticky/own", owner=(USER, GROUP)),
    file("sticky/other", owner=(OTHER_USER, GROUP)),
)
@pytest.mark.parametrize(
    ("name", "code"),
    [
        pytest.param("file", errno.EACCES, id="closed-directory"),
        pytest.param("open/file", 0, id="open-directory"),
        pytest.param("sticky/own", 0, id="sticky-own"),
        pytest.param("sticky/other", errno.EPERM, id="sticky-other"),
    ],
)
def test_a_user_removes_what_the_directory_permits(
    place: Place, name: str, code: int
) -> None:
    def remove() -> None:
        os.unlink(place / name)

    if code:
        with refused(code):
            as_user(remove, USER, GROUP)
    else:
        as_user(remove, USER, GROUP)

    assert (place / name).exists() is bool(code)
