"""Owners, extended attributes, modes and times of what the writer makes.

In the one order that keeps them: chown(2) takes setuid bits and capabilities away, an
ACL changes the mode, and all of it is over before the times are set.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from typing import Final, Protocol

from snapfs.errors import FailedPreconditionError
from snapfs.layer.limits import Policy, SetuidPolicy
from snapfs.layer.notes import Notes
from snapfs.layer.occupied import allocation_unit
from snapfs.layer.xattrs import XattrFilter
from snapfs.overlay_format import XattrPrefix

SET_ID: Final = 0o6000
_PERMISSIONS: Final = 0o777
_CREATE: Final = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_PROBE: Final = b".new"
_DEFAULT_ACL: Final = "system.posix_acl_default"


class Attributed(Protocol):
    """What has attributes: a member of a tar, a node of the tree, a lower object."""

    @property
    def mode(self) -> int:
        """Permission bits, 07777 at most."""

    @property
    def uid(self) -> int:
        """The owner."""

    @property
    def gid(self) -> int:
        """The group."""

    @property
    def mtime_ns(self) -> int:
        """When it was modified, in ns since the epoch."""

    @property
    def xattrs(self) -> Mapping[bytes, bytes]:
        """Extended attributes by their full names."""


class Attributes:
    """Sets attributes as a policy wants it, and only what is not so already.

    What the kernel gives to a new object in the staging directory is tried out once:
    no directory there gets its setgid bit or its default ACL before all is written.

    Attributes:
        uid: The owner that a new object has.
        gid: The group that a new object has.
        masked: Mode bits that a new file may lack, by the umask or on purpose.
        unit_bytes: See :func:`snapfs.layer.occupied.allocation_unit`.
    """

    def __init__(
        self, staging: int, policy: Policy, prefix: XattrPrefix, notes: Notes
    ) -> None:
        self._filter = XattrFilter(policy, prefix)
        self._policy = policy
        self._notes = notes
        self._keep_owners = policy.keep_owners
        self._without_set_id = policy.setuid is SetuidPolicy.STRIP
        os.fchmod(staging, 0o700)
        _remove_default_acl(staging)
        status, self.unit_bytes = _new_file(staging)
        self.uid = status.st_uid
        self.gid = status.st_gid
        umask = ~status.st_mode & _PERMISSIONS
        if umask & 0o700:
            raise FailedPreconditionError(
                f"the umask {umask:03o} keeps us from what we write ourselves"
            )
        self.masked = umask | ~_PERMISSIONS & 0o7777

    def needs_owner(self, uid: int, gid: int) -> bool:
        """Tell whether a new object must be given to ``uid`` and ``gid``."""
        return self._keep_owners and (uid != self.uid or gid != self.gid)

    def file_mode(self, mode: int) -> int:
        """Return the mode of a file as the policy wants it."""
        return mode & ~SET_ID if self._without_set_id else mode

    def set_on_file(self, fd: int, source: Attributed) -> None:
        """Set all attributes of a new, open, written file."""
        mode = self.file_mode(source.mode)
        if self.needs_owner(source.uid, source.gid):
            os.fchown(fd, source.uid, source.gid)
        if source.xattrs:
            os.fchmod(fd, mode | 0o600)  # user.* takes write permission
            self.set_xattrs(fd, source.xattrs)
            os.fchmod(fd, mode)
        elif mode & self.masked:
            os.fchmod(fd, mode)
        os.utime(fd, ns=(source.mtime_ns, source.mtime_ns))

    def set_on_directory(self, fd: int, source: Attributed) -> None:
        """Set all attributes of an open directory of mode 0700."""
        status = os.fstat(fd)
        owner = (source.uid, source.gid)
        if self._keep_owners and owner != (status.st_uid, status.st_gid):
            os.fchown(fd, *owner)
        if source.xattrs:
            self.set_xattrs(fd, source.xattrs)
        os.fchmod(fd, source.mode)
        os.utime(fd, ns=(source.mtime_ns, source.mtime_ns))

    def set_on_name(
        self, name: bytes, directory: int, source: Attributed, *, has_mode: bool
    ) -> None:
        """Set all attributes of a new object that cannot be opened.

        A symlink has no mode; that of a device or FIFO is set by a handle, since
        chmod(2) would follow what is there.
        """
        if self.needs_owner(source.uid, source.gid):
            os.chown(
                name, source.uid, source.gid, dir_fd=directory, follow_symlinks=False
            )
        if source.xattrs:
            self.set_xattrs(b"/proc/self/fd/%d/%s" % (directory, name), source.xattrs)
        mode = self.file_mode(source.mode)
        if has_mode and (source.xattrs or mode & self.masked):
            handle = os.open(
                name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory
            )
            try:
                os.chmod(f"/proc/self/fd/{handle}", mode)
            finally:
                os.close(handle)
        times = (source.mtime_ns, source.mtime_ns)
        os.utime(name, ns=times, dir_fd=directory, follow_symlinks=False)

    def set_xattrs(self, target: int | bytes, xattrs: Mapping[bytes, bytes]) -> None:
        """Set what the policy keeps of ``xattrs``; say what is left out."""
        for name, value in xattrs.items():
            stored = self._filter.stored_name(name)
            if stored is None:
                self._notes.add(f"extended attribute {os.fsdecode(name)!r} left out")
            else:
                self._set_xattr(target, stored, value)

    def _set_xattr(self, target: int | bytes, name: bytes, value: bytes) -> None:
        try:
            if isinstance(target, int):
                os.setxattr(target, name, value)
            else:
                os.setxattr(target, name, value, follow_symlinks=False)
        except OSError as error:
            if not self._may_lack(target, name, error):
                raise
            text = f"extended attribute {os.fsdecode(name)!r} left out: "
            self._notes.add(text + os.strerror(error.errno or 0))

    def _may_lack(self, target: int | bytes, name: bytes, error: OSError) -> bool:
        """Tell whether an attribute may be left out after an error.

        Where the filesystem has none of its kind; where the kernel allows none,
        ``user.*`` on all but files and directories (xattr(7)); and where a process
        without privileges may not set it.
        """
        if error.errno == errno.ENOTSUP:
            return True
        if error.errno != errno.EPERM:
            return False
        on_special = not isinstance(target, int) and name.startswith(b"user.")
        return on_special or not self._keep_owners


def _remove_default_acl(staging: int) -> None:
    try:
        os.removexattr(staging, _DEFAULT_ACL)
    except OSError as error:
        # None there, or a filesystem without ACLs.
        if error.errno not in (errno.ENODATA, errno.ENOTSUP):
            raise


def _new_file(staging: int) -> tuple[os.stat_result, int]:
    """Return the status of a file created with all permissions, and the unit it takes.

    The umask is a process's, and reading it changes it; ``grpid`` and idmapped mounts
    give other owners than the process has.
    """
    fd = os.open(_PROBE, _CREATE, _PERMISSIONS, dir_fd=staging)
    try:
        return os.fstat(fd), allocation_unit(fd)
    finally:
        os.close(fd)
        os.unlink(_PROBE, dir_fd=staging)
