"""POSIX ACLs (acl(5)), by the attributes in which the kernel shows them."""

from __future__ import annotations

import errno
import os
import stat
import struct
from typing import Final

import pytest

from support.posix_descriptors import umask
from support.posix_errors import refused
from support.posix_objects import (
    GROUP,
    OTHER_GROUP,
    OTHER_USER,
    USER,
    directory,
    file,
    placed,
    symlink,
    xattr,
)
from support.posix_place import Place
from support.posix_processes import as_user

ACCESS: Final = "system.posix_acl_access"
DEFAULT: Final = "system.posix_acl_default"

# linux/posix_acl_xattr.h: the version, then tag, permissions and identity each.
_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER = 1, 2, 4, 8, 16, 32
_NOBODY: Final = 0xFFFFFFFF


def acl(text: str) -> bytes:
    """Return the attribute for entries like ``u::7 u:1001:6 g::5 m::7 o::0``."""
    tags = {"u": _USER_OBJ, "g": _GROUP_OBJ, "m": _MASK, "o": _OTHER}
    named = {"u": _USER, "g": _GROUP}
    raw = struct.pack("<I", 2)
    for entry in text.split():
        kind, identity, bits = entry.split(":")
        tag = named[kind] if identity else tags[kind]
        who = int(identity) if identity else _NOBODY
        raw += struct.pack("<HHI", tag, int(bits), who)
    return raw


FULL: Final = acl(f"u::6 u:{USER}:6 g::4 g:{OTHER_GROUP}:2 m::6 o::0")
INHERITED: Final = acl(f"u::7 u:{USER}:7 g::5 m::7 o::0")

pytestmark = placed(
    file("file", b"content", mode=0o640, owner=(OTHER_USER, GROUP)),
    xattr("file", ACCESS, FULL),
    file("bare", b"content", mode=0o640),
    directory("directory"),
    xattr("directory", DEFAULT, INHERITED),
    symlink("link", "bare"),
)


def test_an_acl_is_read_and_survives_changes(place: Place) -> None:
    assert os.getxattr(place / "file", ACCESS) == FULL
    assert os.getxattr(place / "directory", DEFAULT) == INHERITED
    assert ACCESS in os.listxattr(place / "file")

    (place / "file").write_bytes(b"changed")
    os.rename(place / "file", place / "moved")
    (place / "directory/new").touch()

    assert os.getxattr(place / "moved", ACCESS) == FULL
    assert os.getxattr(place / "directory", DEFAULT) == INHERITED
    place.remount()
    assert os.getxattr(place / "moved", ACCESS) == FULL
    assert os.getxattr(place / "directory", DEFAULT) == INHERITED


def test_an_acl_is_set_and_changes_the_mode(place: Place) -> None:
    os.setxattr(place / "bare", ACCESS, acl(f"u::7 u:{USER}:4 g::1 m::5 o::4"))

    # The group's bits of the mode are the mask.
    assert stat.S_IMODE(os.stat(place / "bare").st_mode) == 0o754
    place.remount()
    assert stat.S_IMODE(os.stat(place / "bare").st_mode) == 0o754
    assert os.getxattr(place / "bare", ACCESS) == acl(f"u::7 u:{USER}:4 g::1 m::5 o::4")


def test_an_acl_that_says_no_more_than_a_mode_becomes_one(place: Place) -> None:
    os.setxattr(place / "bare", ACCESS, acl("u::7 g::5 o::1"))

    assert stat.S_IMODE(os.stat(place / "bare").st_mode) == 0o751
    with refused(errno.ENODATA):
        os.getxattr(place / "bare", ACCESS)


def test_chmod_changes_the_mask(place: Place) -> None:
    os.chmod(place / "file", 0o604)

    expected = acl(f"u::6 u:{USER}:6 g::4 g:{OTHER_GROUP}:2 m::0 o::4")
    assert os.getxattr(place / "file", ACCESS) == expected


def test_a_removed_acl_leaves_the_mode(place: Place) -> None:
    os.removexattr(place / "file", ACCESS)

    assert ACCESS not in os.listxattr(place / "file")
    assert stat.S_IMODE(os.stat(place / "file").st_mode) == 0o660
    os.removexattr(place / "directory", DEFAULT)
    assert DEFAULT not in os.listxattr(place / "directory")


@placed(
    directory("shared", mode=0o2775, owner=(USER, OTHER_GROUP)),
    xattr("shared", ACCESS, FULL),
)
@pytest.mark.parametrize("groups", [[], [OTHER_GROUP]], ids=["stranger", "member"])
def test_a_stranger_to_the_group_removes_the_setgid_bit_with_an_acl_from_a_union(
    place: Place, groups: list[int]
) -> None:
    kept = place.expected(
        True,
        because="overlayfs looks for it at every change of an ACL, to none as well",
        **{} if groups else dict.fromkeys(("kernel", "fuse", "io"), False),
    )

    as_user(lambda: os.removexattr(place / "shared", ACCESS), USER, GROUP, groups)

    assert bool(os.stat(place / "shared").st_mode & stat.S_ISGID) is kept


@pytest.mark.parametrize(
    ("name", "attribute", "value", "code"),
    [
        pytest.param("bare", DEFAULT, INHERITED, errno.EACCES, id="default-of-a-file"),
        pytest.param("bare", ACCESS, b"odd version", errno.EOPNOTSUPP, id="version"),
        pytest.param("bare", ACCESS, FULL[:-1], errno.EINVAL, id="cut-off"),
        pytest.param("bare", ACCESS, acl("u::7 g::5"), errno.EINVAL, id="incomplete"),
        pytest.param(
            "bare",
            ACCESS,
            acl(f"u::7 u:{USER}:7 g::5 o::0"),
            errno.EINVAL,
            id="maskless",
        ),
    ],
)
def test_setxattr_refuses_an_acl(
    place: Place, name: str, attribute: str, value: bytes, code: int
) -> None:
    with refused(code):
        os.setxattr(place / name, attribute, value)


def test_a_link_has_no_acl(place: Place) -> None:
    with refused(errno.EOPNOTSUPP):
        os.setxattr(place / "link", ACCESS, FULL, follow_symlinks=False)


def test_a_new_file_inherits_the_default_whatever_the_umask(place: Place) -> None:
    with umask(0o077):
        os.close(os.open(place / "directory/new", os.O_CREAT | os.O_WRONLY, 0o666))

    # acl(5): the mode asked for limits owner, mask and others; no umask is taken.
    assert os.getxattr(place / "directory/new", ACCESS) == acl(
        f"u::6 u:{USER}:7 g::5 m::6 o::0"
    )
    assert stat.S_IMODE(os.stat(place / "directory/new").st_mode) == 0o660
    with refused(errno.ENODATA):
        os.getxattr(place / "directory/new", DEFAULT)


def test_a_new_directory_inherits_the_default_also_as_its_own(place: Place) -> None:
    with umask(0o077):
        os.makedirs(place / "directory/new/inner")

    for name in ("directory/new", "directory/new/inner"):
        assert os.getxattr(place / name, DEFAULT) == INHERITED
        assert os.getxattr(place / name, ACCESS) == INHERITED
        assert stat.S_IMODE(os.stat(place / name).st_mode) == 0o770


def test_a_new_fifo_and_socket_inherit_the_default(place: Place) -> None:
    with umask(0o077):
        os.mkfifo(place / "directory/fifo", 0o664)
        os.mknod(place / "directory/socket", stat.S_IFSOCK | 0o664)

    for name in ("fifo", "socket"):
        status = os.stat(place / "directory" / name)
        assert stat.S_IMODE(status.st_mode) == 0o660


@placed(
    directory("plain-default"),
    xattr("plain-default", DEFAULT, acl("u::7 g::5 o::5")),
)
def test_a_default_without_names_replaces_the_umask(place: Place) -> None:
    with umask(0o077):
        os.close(os.open(place / "plain-default/new", os.O_CREAT, 0o666))

    status = os.stat(place / "plain-default/new")
    assert stat.S_IMODE(status.st_mode) == 0o644
    with refused(errno.ENODATA):
        os.getxattr(place / "plain-default/new", ACCESS)


def test_a_file_made_where_one_was_removed_inherits_too(place: Place) -> None:
    (place / "directory/again").touch()
    os.unlink(place / "directory/again")

    os.close(os.open(place / "directory/again", os.O_CREAT | os.O_WRONLY, 0o600))

    assert os.getxattr(place / "directory/again", ACCESS) == acl(
        f"u::6 u:{USER}:7 g::5 m::0 o::0"
    )


def test_a_moved_file_inherits_nothing(place: Place) -> None:
    os.rename(place / "bare", place / "directory/moved")

    with refused(errno.ENODATA):
        os.getxattr(place / "directory/moved", ACCESS)
    assert stat.S_IMODE(os.stat(place / "directory/moved").st_mode) == 0o640


@pytest.mark.parametrize(
    ("uid", "groups", "mode", "is_allowed"),
    [
        pytest.param(USER, (), os.R_OK | os.W_OK, True, id="named-user"),
        pytest.param(USER, (), os.X_OK, False, id="not-more"),
        pytest.param(1003, (GROUP,), os.R_OK, True, id="owning-group"),
        pytest.param(1003, (GROUP,), os.W_OK, False, id="owning-group-not-more"),
        pytest.param(1003, (OTHER_GROUP,), os.W_OK, True, id="named-group"),
        pytest.param(1003, (OTHER_GROUP,), os.R_OK, False, id="named-group-not-more"),
        pytest.param(1003, (), os.R_OK, False, id="others"),
        # No single entry of the two groups has both.
        pytest.param(
            1003, (GROUP, OTHER_GROUP), os.R_OK | os.W_OK, False, id="never-added-up"
        ),
    ],
)
def test_the_acl_decides_for_a_user(
    place: Place, uid: int, groups: tuple[int, ...], mode: int, is_allowed: bool
) -> None:
    found = as_user(lambda: os.access(place / "file", mode), uid, 3000, groups)

    assert found is is_allowed


def test_the_acl_decides_when_a_user_opens(place: Place) -> None:
    def write(uid: int) -> None:
        as_user(lambda: (place / "file").write_bytes(b"new"), uid, 3000)

    write(USER)
    with refused(errno.EACCES):
        write(1003)

    assert (place / "file").read_bytes() == b"new"


def test_only_the_owner_sets_an_acl(place: Place) -> None:
    def give() -> None:
        os.setxattr(place / "file", ACCESS, acl(f"u::6 u:{USER}:7 g::7 m::7 o::7"))

    with refused(errno.EPERM):
        as_user(give, USER, GROUP)
    as_user(give, OTHER_USER, GROUP)

    assert stat.S_IMODE(os.stat(place / "file").st_mode) == 0o677
