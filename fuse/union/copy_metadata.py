"""Giving a new object the attributes of the one that it takes the place of.

The order is the kernel's (``ovl_copy_up_metadata`` in ``fs/overlayfs/copy_up.c``) but
for the owner, which comes first: chown(2) takes capabilities and setuid bits away.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from collections.abc import Iterable

from snapfs.file_syscalls import set_times
from snapfs.light_typing import Final
from snapfs.overlay_format import XattrPrefix

_GETFLAGS: Final = 0x80086601  # FS_IOC_GETFLAGS, FS_IOC_SETFLAGS of linux/fs.h
_SETFLAGS: Final = 0x40086602
_SYNC_FLAG: Final = 0x08
_IMMUTABLE_FLAG: Final = 0x10
_APPEND_FLAG: Final = 0x20
_NOATIME_FLAG: Final = 0x80
_KEPT_FLAGS: Final = _SYNC_FLAG | _NOATIME_FLAG
_FROZEN_FLAGS: Final = _IMMUTABLE_FLAG | _APPEND_FLAG
_FLAGS: Final = struct.Struct("@i")

# Those that must not be lost (ovl_must_copy_xattr).
_NEEDED_ACLS: Final = ("system.posix_acl_access", "system.posix_acl_default")
_SECURITY: Final = "security."


def copy_owner(
    target: int | bytes, status: os.stat_result, *, dir_fd: int | None = None
) -> None:
    """Give ``target``, a descriptor or a name in ``dir_fd``, the owner of ``status``.

    Raises:
        OSError: EOVERFLOW, the owner has no number in our user namespace; or from
            chown(2).
    """
    try:
        if isinstance(target, int):
            os.fchown(target, status.st_uid, status.st_gid)
        else:
            os.chown(
                target,
                status.st_uid,
                status.st_gid,
                dir_fd=dir_fd,
                follow_symlinks=False,
            )
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise OSError(errno.EOVERFLOW, "the owner is not mapped here") from error
        raise


def xattr_names(source: int | bytes) -> list[str]:
    """Return the names of all extended attributes; a path is not followed at its end.

    Raises:
        OSError: From listxattr(2).
    """
    try:
        if isinstance(source, int):
            return os.listxattr(source)
        return os.listxattr(source, follow_symlinks=False)
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            return []
        raise


def copy_xattrs(
    source: int | bytes, target: int | bytes, prefix: XattrPrefix, names: Iterable[str]
) -> None:
    """Copy the extended attributes ``names``, but no marks of overlayfs.

    A path is not followed at its end. What a nested overlayfs wrote through a mount
    (``trusted.overlay.overlay.``) is copied.

    Raises:
        OSError: An attribute cannot be read, or one that matters cannot be written.
    """
    for name in names:
        if not is_private(name, prefix):
            _copy_xattr(source, target, name)


def _copy_xattr(source: int | bytes, target: int | bytes, name: str) -> None:
    value = os.getxattr(source, name, **_no_follow(source))
    try:
        os.setxattr(target, name, value, **_no_follow(target))
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        # The upper's filesystem has no such attributes: lost, unless they protect.
        if name in _NEEDED_ACLS or name.startswith(_SECURITY):
            raise


def is_private(name: str, prefix: XattrPrefix) -> bool:
    """Tell whether an attribute is a mark of this mount, not of one that is nested."""
    own = prefix.attribute("")
    return name.startswith(own) and not name.startswith("overlay.", len(own))


def copy_flags(source: int, target: int) -> None:
    """Copy the inode flags that change how a file is written.

    Raises:
        OSError: EPERM, the source may not be changed at all (``chattr +i``, ``+a``).
    """
    flags = _read_flags(source)
    if flags & _FROZEN_FLAGS:
        raise OSError(errno.EPERM, "the lower file is immutable or append-only")
    if flags & _KEPT_FLAGS:
        kept = _FLAGS.pack(_read_flags(target) | flags & _KEPT_FLAGS)
        fcntl.ioctl(target, _SETFLAGS, kept)


def _read_flags(fd: int) -> int:
    try:
        answer = fcntl.ioctl(fd, _GETFLAGS, b"\0\0\0\0\0\0\0\0")
    except OSError as error:
        # A filesystem without flags says one of these.
        if error.errno in (errno.ENOTTY, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
            return 0
        raise
    flags: int = _FLAGS.unpack_from(answer)[0]
    return flags


def copy_to_entry(
    source: bytes, status: os.stat_result, dir_fd: int, name: bytes, prefix: XattrPrefix
) -> None:
    """Give a new entry of ``dir_fd`` the attributes of the object at ``source``.

    Raises:
        OSError: From chown(2), setxattr(2), chmod(2) or utimensat(2).
    """
    copy_owner(name, status, dir_fd=dir_fd)
    target = b"/proc/self/fd/%d/%s" % (dir_fd, name)
    copy_xattrs(source, target, prefix, xattr_names(source))
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(name, stat.S_IMODE(status.st_mode), dir_fd=dir_fd)
    set_times(dir_fd, name, status.st_atime_ns, status.st_mtime_ns)


def _no_follow(path: int | bytes) -> dict[str, bool]:
    # For a descriptor the os module refuses the argument.
    return {} if isinstance(path, int) else {"follow_symlinks": False}
