"""POSIX ACLs of what is made outside its directory, and put there afterwards.

What is made in place gets its ACLs from the filesystem. For what is made in the work
directory this does what the kernel does: ``posix_acl_create`` in
``fs/posix_acl.c``. The format is that of ``linux/posix_acl_xattr.h``.
"""

from __future__ import annotations

import errno
import os
import stat
import struct

from snapfs.light_typing import Final, NamedTuple

ACCESS: Final = b"system.posix_acl_access"
DEFAULT: Final = b"system.posix_acl_default"

_HEADER: Final = struct.Struct("<I")
_ENTRY: Final = struct.Struct("<HHI")
_VERSION: Final = 2

_USER_OBJ: Final = 0x01
_USER: Final = 0x02
_GROUP_OBJ: Final = 0x04
_GROUP: Final = 0x08
_MASK: Final = 0x10
_OTHER: Final = 0x20

ABSENT: Final = frozenset((errno.ENODATA, errno.EOPNOTSUPP))
"""What says that there is no such ACL, or none of this filesystem."""


class Inherited(NamedTuple):
    """What a new entry takes from its directory.

    ``access`` is None where the mode says it all; ``default`` is for directories.
    """

    mode: int
    access: bytes | None
    default: bytes | None


def read_default(path: bytes) -> bytes | None:
    """Return the default ACL of a directory, or None.

    Raises:
        OSError: From getxattr(2).
    """
    try:
        return os.getxattr(path, DEFAULT)
    except OSError as error:
        if error.errno in ABSENT:
            return None
        raise


def inherit(default: bytes | None, mode: int, umask: int) -> Inherited:
    """Return mode and ACLs of a new entry in a directory with this default ACL.

    The umask counts only where there is none, as acl(5) says; a symbolic link takes
    nothing.

    Raises:
        OSError: EIO, the ACL cannot be read.
    """
    if stat.S_ISLNK(mode):
        return Inherited(mode, None, None)
    if default is None:
        return Inherited(mode & ~umask, None, None)
    entries = _entries(default)
    masked, permissions = _masked(entries, mode)
    new_mode = mode & ~0o777 | permissions
    is_more_than_mode = any(tag in (_USER, _GROUP, _MASK) for tag, _, _ in entries)
    return Inherited(
        new_mode,
        _packed(masked) if is_more_than_mode else None,
        default if stat.S_ISDIR(mode) else None,
    )


def _masked(
    entries: list[tuple[int, int, int]], mode: int
) -> tuple[list[tuple[int, int, int]], int]:
    """Limit the entries that stand for the mode's classes, and these by them."""
    has_mask = any(tag == _MASK for tag, _, _ in entries)
    shifts = {_USER_OBJ: 6, _MASK if has_mask else _GROUP_OBJ: 3, _OTHER: 0}
    masked = []
    permissions = mode & 0o777
    for tag, allowed, identity in entries:
        shift = shifts.get(tag)
        if shift is not None:
            allowed &= mode >> shift & 7
            permissions &= allowed << shift | ~(7 << shift)
        masked.append((tag, allowed, identity))
    return masked, permissions


def _entries(acl: bytes) -> list[tuple[int, int, int]]:
    if len(acl) % _ENTRY.size != _HEADER.size or _HEADER.unpack_from(acl)[0] != 2:
        raise OSError(errno.EIO, "a default ACL is damaged")
    return [
        (tag, allowed, identity)
        for tag, allowed, identity in _ENTRY.iter_unpack(acl[_HEADER.size :])
    ]


def _packed(entries: list[tuple[int, int, int]]) -> bytes:
    return _HEADER.pack(_VERSION) + b"".join(_ENTRY.pack(*entry) for entry in entries)
