"""Kernel errors of mounting, translated into the classes of snapfs, in one table."""

from __future__ import annotations

import errno
import os

from snapfs import syscalls
from snapfs.errors import (
    DataLossError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
    SnapfsError,
    UnavailableError,
)
from snapfs.light_typing import Final
from snapfs.logs import Log

_LOG: Final = Log(__name__)

_PRIVILEGE_ADVICE: Final = (
    "mounting needs CAP_SYS_ADMIN: run as root or in a user namespace with userxattr,"
    " or use the FUSE driver"
)

# What mount(2), fsconfig(2) and umount2(2) answer, by the manual pages and
# fs/overlayfs/super.c; all else is an error of no finer class.
_CLASSES: Final[dict[int, type[SnapfsError]]] = {
    errno.E2BIG: ResourceExhaustedError,
    errno.EACCES: PermissionDeniedError,
    errno.EBUSY: FailedPreconditionError,
    errno.EINVAL: InvalidArgumentError,
    errno.EIO: DataLossError,
    errno.ELOOP: InvalidArgumentError,
    errno.EMFILE: ResourceExhaustedError,
    errno.ENAMETOOLONG: InvalidArgumentError,
    errno.ENFILE: ResourceExhaustedError,
    errno.ENODEV: UnavailableError,
    errno.ENOENT: NotFoundError,
    errno.ENOMEM: ResourceExhaustedError,
    errno.ENOSPC: ResourceExhaustedError,
    errno.ENOSYS: UnavailableError,
    errno.ENOTDIR: InvalidArgumentError,
    errno.EOPNOTSUPP: UnavailableError,
    errno.EPERM: PermissionDeniedError,
    errno.EROFS: FailedPreconditionError,
    errno.ESTALE: FailedPreconditionError,
}
_ADVICE: Final = {
    errno.EPERM: _PRIVILEGE_ADVICE,
    errno.ENODEV: "this kernel has no overlayfs; use the FUSE driver",
    errno.ESTALE: "the upperdir was first mounted over another lowerdir",
}


def translate(error: OSError, doing: str, kernel_log: str = "") -> SnapfsError:
    """Return the narrowest error for what the kernel answered, in one line.

    Args:
        error: What the system call raised.
        doing: What was attempted, with the names in it.
        kernel_log: The kernel's own words, from an fsopen(2) context.
    """
    code = error.errno or 0
    name = errno.errorcode.get(code, str(code))
    text = f"{doing}: {error.strerror or os.strerror(code)} ({name})"
    parts = [text, kernel_log, _ADVICE.get(code, "")]
    return _CLASSES.get(code, SnapfsError)("; ".join(filter(None, parts)))


def undo_mount(where: str) -> None:
    """Take away a mount that an error made useless; never hide that error."""
    try:
        syscalls.umount2(where, syscalls.UMOUNT_NOFOLLOW | syscalls.MNT_DETACH)
    except OSError:
        _LOG.exception("cannot undo the mount on %r", where)
