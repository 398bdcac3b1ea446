"""Attributes taken from one object and given to another, as copy-up does.

What is there already is overwritten: an ACL from the parent's default ACL, a group
from its setgid bit.
"""

from __future__ import annotations

import errno
import os
from typing import Final

from snapfs.layer.lower import LowerAttributes

_INHERITED_ACL: Final = "system.posix_acl_access"


def set_raw_attributes(fd: int, source: LowerAttributes, keep_owners: bool) -> None:
    """Set owner, xattrs, mode and times of an open file or directory.

    Raises:
        OSError: The kernel refuses one of them.
    """
    if keep_owners:
        os.fchown(fd, source.uid, source.gid)
    _remove_inherited_acl(fd)
    for name, value in source.xattrs.items():
        os.setxattr(fd, name, value)
    os.fchmod(fd, source.mode)
    os.utime(fd, ns=(source.mtime_ns, source.mtime_ns))


def set_raw_link_attributes(
    name: bytes, directory: int, source: LowerAttributes, keep_owners: bool
) -> None:
    """Set owner, xattrs and times of a symlink in an open directory.

    Raises:
        OSError: The kernel refuses one of them.
    """
    if keep_owners:
        owner = (source.uid, source.gid)
        os.chown(name, *owner, dir_fd=directory, follow_symlinks=False)
    path = b"/proc/self/fd/%d/%s" % (directory, name)
    for attribute, value in source.xattrs.items():
        os.setxattr(path, attribute, value, follow_symlinks=False)
    times = (source.mtime_ns, source.mtime_ns)
    os.utime(name, ns=times, dir_fd=directory, follow_symlinks=False)


def _remove_inherited_acl(fd: int) -> None:
    try:
        os.removexattr(fd, _INHERITED_ACL)
    except OSError as error:
        # There is none, or the filesystem has none.
        if error.errno not in (errno.ENODATA, errno.ENOTSUP):
            raise
