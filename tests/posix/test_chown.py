"""chown(2), lchown(2) and fchown(2)."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

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
    xattr,
)
from support.posix_place import Place
from support.posix_processes import as_user

# A capability set of version 2: cap_net_raw, permitted and effective.
CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")

pytestmark = placed(
    file("file", b"content", owner=(USER, GROUP)),
    directory("directory", owner=(USER, GROUP)),
    fifo("fifo"),
    bound_socket("socket"),
    node("device", stat.S_IFCHR | 0o600, 1, 3),
    symlink("link", "file"),
    symlink("dangling", "missing"),
)
NAMES = ["file", "directory", "fifo", "socket", "device", "link", "dangling"]


def owner_of(place: Place, name: str) -> tuple[int, int]:
    status = os.lstat(place / name)
    return status.st_uid, status.st_gid


@pytest.mark.parametrize("name", NAMES)
def test_lchown_changes_an_object_of_any_kind(place: Place, name: str) -> None:
    before = os.lstat(place / name)

    os.lchown(place / name, 70_000, 4_000_000_000)

    after = os.lstat(place / name)
    assert owner_of(place, name) == (70_000, 4_000_000_000)
    assert (after.st_mode, after.st_ino) == (before.st_mode, before.st_ino)
    place.remount()
    assert owner_of(place, name) == (70_000, 4_000_000_000)


def test_chown_follows_a_link(place: Place) -> None:
    os.chown(place / "link", OTHER_USER, OTHER_GROUP)

    assert owner_of(place, "file") == (OTHER_USER, OTHER_GROUP)
    assert owner_of(place, "link") == (0, 0)


def test_fchown_changes_what_is_open(place: Place) -> None:
    with opened(place / "file") as fd:
        os.fchown(fd, OTHER_USER, OTHER_GROUP)

        assert os.fstat(fd).st_uid == OTHER_USER
    assert owner_of(place, "file") == (OTHER_USER, OTHER_GROUP)


@pytest.mark.parametrize(
    ("uid", "gid", "owner"),
    [
        (-1, OTHER_GROUP, (USER, OTHER_GROUP)),
        (OTHER_USER, -1, (OTHER_USER, GROUP)),
        (-1, -1, (USER, GROUP)),
    ],
)
def test_minus_one_leaves_an_owner(
    place: Place, uid: int, gid: int, owner: tuple[int, int]
) -> None:
    os.chown(place / "file", uid, gid)

    assert owner_of(place, "file") == owner


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("missing", errno.ENOENT),
        ("dangling", errno.ENOENT),
        ("file/x", errno.ENOTDIR),
    ],
)
def test_chown_refuses(place: Place, name: str, code: int) -> None:
    with refused(code):
        os.chown(place / name, 0, 0)


@placed(
    file("program", mode=0o6755, owner=(USER, GROUP)),
    file("locking", mode=0o6744, owner=(USER, GROUP)),
    fifo("pipe", mode=0o6755),
    directory("set-id", mode=0o6755, owner=(USER, GROUP)),
)
@pytest.mark.parametrize(
    ("name", "mode"),
    [
        pytest.param("program", 0o0755, id="executable"),
        pytest.param("locking", 0o2744, id="not-executable-for-the-group"),
        pytest.param("pipe", 0o0755, id="fifo"),
        pytest.param("set-id", 0o6755, id="directory"),
    ],
)
@pytest.mark.parametrize(
    ("uid", "gid"), [(OTHER_USER, -1), (-1, OTHER_GROUP), (USER, GROUP), (-1, -1)]
)
def test_chown_takes_the_set_id_bits_from_files_alone(
    place: Place, name: str, mode: int, uid: int, gid: int
) -> None:
    os.chown(place / name, uid, gid)

    assert stat.S_IMODE(os.stat(place / name).st_mode) == mode


@placed(file("program", mode=0o6755, owner=(OTHER_USER, GROUP)))
def test_a_chown_of_nothing_leaves_the_set_id_bits_of_anothers_file(
    place: Place,
) -> None:
    answer = place.expected(
        errno.EPERM,
        because="FUSE does not say whether it is a chown or comes before a change",
        fuse=0,
        io=0,
    )

    assert as_user(lambda: _chown_to_nobody(place / "program"), USER, GROUP) == answer
    assert stat.S_IMODE(os.stat(place / "program").st_mode) == 0o6755


def _chown_to_nobody(path: Path) -> int:
    """Return the errno, or 0."""
    try:
        os.chown(path, -1, -1)
    except OSError as error:
        return error.errno or 0
    return 0


@placed(file("capable"), xattr("capable", "security.capability", CAPABILITY))
@pytest.mark.parametrize("uid", [OTHER_USER, -1])
def test_chown_takes_capabilities_away(place: Place, uid: int) -> None:
    assert os.getxattr(place / "capable", "security.capability") == CAPABILITY

    os.chown(place / "capable", uid, -1)

    with refused(errno.ENODATA):
        os.getxattr(place / "capable", "security.capability")


def test_chown_changes_ctime_alone(place: Place) -> None:
    before = os.stat(place / "file")
    wait_for_the_clock(before.st_ctime_ns)

    os.chown(place / "file", OTHER_USER, -1)

    after = os.stat(place / "file")
    assert after.st_ctime_ns > before.st_ctime_ns
    assert (after.st_atime_ns, after.st_mtime_ns) == (OLD_NS, OLD_NS)
    assert after.st_size == before.st_size


def test_an_owner_gives_a_file_to_a_group_it_is_in(place: Place) -> None:
    as_user(
        lambda: os.chown(place / "file", -1, OTHER_GROUP), USER, GROUP, [OTHER_GROUP]
    )

    assert owner_of(place, "file") == (USER, OTHER_GROUP)


@pytest.mark.parametrize(
    ("uid", "gid"),
    [
        pytest.param(-1, OTHER_GROUP, id="a-foreign-group"),
        pytest.param(OTHER_USER, -1, id="another-user"),
        pytest.param(0, 0, id="root"),
    ],
)
def test_an_owner_gives_a_file_away_no_further(
    place: Place, uid: int, gid: int
) -> None:
    with refused(errno.EPERM):
        as_user(lambda: os.chown(place / "file", uid, gid), USER, GROUP)

    assert owner_of(place, "file") == (USER, GROUP)


@placed(file("program", mode=0o6755, owner=(USER, GROUP)))
def test_an_owner_s_own_chown_takes_the_set_id_bits(place: Place) -> None:
    as_user(
        lambda: os.chown(place / "program", USER, OTHER_GROUP),
        USER,
        GROUP,
        [OTHER_GROUP],
    )

    assert stat.S_IMODE(os.stat(place / "program").st_mode) == 0o755
