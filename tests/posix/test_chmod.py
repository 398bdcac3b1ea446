"""chmod(2) and fchmod(2)."""

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
    OTHER_GROUP,
    OTHER_USER,
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
from support.posix_processes import as_user

pytestmark = placed(
    file("file", b"content", owner=(USER, GROUP)),
    file("other", owner=(OTHER_USER, GROUP)),
    file("foreign-group", owner=(USER, OTHER_GROUP)),
    directory("directory", owner=(USER, GROUP)),
    directory("foreign-directory", owner=(USER, OTHER_GROUP)),
    fifo("fifo"),
    bound_socket("socket"),
    node("device", stat.S_IFBLK | 0o600, 7, 200),
    symlink("link", "file"),
    symlink("dangling", "missing"),
)


def mode_of(place: Place, name: str) -> int:
    return stat.S_IMODE(os.lstat(place / name).st_mode)


@pytest.mark.parametrize("name", ["file", "directory", "fifo", "socket", "device"])
@pytest.mark.parametrize("mode", [0o000, 0o644, 0o777, 0o7777, 0o1000, 0o4711])
def test_every_bit_can_be_set(place: Place, name: str, mode: int) -> None:
    before = os.lstat(place / name)

    os.chmod(place / name, mode)

    after = os.lstat(place / name)
    assert stat.S_IMODE(after.st_mode) == mode
    assert stat.S_IFMT(after.st_mode) == stat.S_IFMT(before.st_mode)
    assert (after.st_ino, after.st_uid) == (before.st_ino, before.st_uid)


@pytest.mark.parametrize("name", ["file", "directory"])
def test_fchmod_changes_what_is_open(place: Place, name: str) -> None:
    with opened(place / name) as fd:
        os.fchmod(fd, 0o2751)

        assert stat.S_IMODE(os.fstat(fd).st_mode) == 0o2751
    assert mode_of(place, name) == 0o2751


def test_a_mode_lasts_and_the_content_too(place: Place) -> None:
    os.chmod(place / "file", 0o4700)

    place.remount()

    assert mode_of(place, "file") == 0o4700
    assert (place / "file").read_bytes() == b"content"


def test_chmod_follows_a_link(place: Place) -> None:
    os.chmod(place / "link", 0o600)

    assert mode_of(place, "file") == 0o600
    assert mode_of(place, "link") == 0o777


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("missing", errno.ENOENT),
        ("dangling", errno.ENOENT),
        ("file/x", errno.ENOTDIR),
    ],
)
def test_chmod_refuses(place: Place, name: str, code: int) -> None:
    with refused(code):
        os.chmod(place / name, 0o777)


def test_chmod_changes_ctime_alone(place: Place) -> None:
    before = os.stat(place / "file")
    wait_for_the_clock(before.st_ctime_ns)

    os.chmod(place / "file", 0o600)

    after = os.stat(place / "file")
    assert after.st_ctime_ns > before.st_ctime_ns
    assert (after.st_atime_ns, after.st_mtime_ns) == (OLD_NS, OLD_NS)
    assert os.stat(place.path).st_mtime_ns == OLD_NS


@pytest.mark.parametrize("name", ["file", "directory"])
def test_an_owner_changes_the_mode(place: Place, name: str) -> None:
    as_user(lambda: os.chmod(place / name, 0o4711), USER, GROUP)

    assert mode_of(place, name) == 0o4711


def test_another_user_does_not(place: Place) -> None:
    with refused(errno.EPERM):
        as_user(lambda: os.chmod(place / "other", 0o777), USER, GROUP)

    assert mode_of(place, "other") == 0o644


@pytest.mark.parametrize("name", ["foreign-group", "foreign-directory"])
@pytest.mark.parametrize(
    ("groups", "mode"), [((), 0o0755), ((OTHER_GROUP,), 0o2755)], ids=["out", "in"]
)
def test_only_a_member_of_the_group_sets_its_bit(
    place: Place, name: str, groups: tuple[int, ...], mode: int
) -> None:
    as_user(lambda: os.chmod(place / name, 0o2755), USER, GROUP, groups)

    assert mode_of(place, name) == mode


def test_an_owner_without_any_right_takes_it_back(place: Place) -> None:
    def lock_out_and_return() -> bytes:
        os.chmod(place / "file", 0)
        with refused(errno.EACCES):
            os.open(place / "file", os.O_RDONLY)
        os.chmod(place / "file", 0o600)
        return (place / "file").read_bytes()

    assert as_user(lock_out_and_return, USER, GROUP) == b"content"


def test_a_descriptor_keeps_its_rights(place: Place) -> None:
    def read_after_closing() -> bytes:
        with opened(place / "file", os.O_RDWR) as fd:
            os.chmod(place / "file", 0)
            os.write(fd, b"CON")
            return os.pread(fd, 100, 0)

    assert as_user(read_after_closing, USER, GROUP) == b"CONtent"
