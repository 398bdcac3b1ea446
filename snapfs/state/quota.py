"""Project quotas: the kernel counts what a directory tree holds, and limits it.

A project is a number that each inode carries and that new ones take from their
directory (``FS_XFLAG_PROJINHERIT``); ext4 and XFS have them where they are mounted
with ``prjquota``. See ``Documentation/filesystems/quota.rst``, quotactl(2).
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from collections.abc import Mapping

from snapfs.errors import FailedPreconditionError, ResourceExhaustedError
from snapfs.file_syscalls import quotactl_fd
from snapfs.light_typing import Final, Protocol
from snapfs.model import Usage
from snapfs.overlay_format import SIZE_LABEL, size_limit
from snapfs.state.fsio import open_directory

# linux/fs.h: struct fsxattr has 28 bytes.
_FS_IOC_FSGETXATTR: Final = 0x801C581F
_FS_IOC_FSSETXATTR: Final = 0x401C5820
_FSXATTR: Final = struct.Struct("=5I8x")
_FS_XFLAG_PROJINHERIT: Final = 0x200

# linux/quota.h: the command and the kind of quota in one number; struct if_dqblk.
_PRJQUOTA: Final = 2
_Q_GETQUOTA: Final = 0x800007 << 8 | _PRJQUOTA
_Q_SETQUOTA: Final = 0x800008 << 8 | _PRJQUOTA
_DQBLK: Final = struct.Struct("=8QI4x")
_QIF_BLIMITS: Final = 1
_QUOTA_BLOCK: Final = 1024  # QIF_DQBLKSIZE

_STAT_BLOCK: Final = 512

# Others number projects from below: kubelet and Docker from 2^20, people from 1.
_FIRST_PROJECT: Final = 1 << 30


class QuotaCalls(Protocol):
    """The kernel's part; tests on hosts without quotas put a fake here."""

    def set_project(self, fd: int, project: int) -> None:
        """Give an open, empty directory a project that all below it will have.

        Raises:
            OSError: The filesystem has no projects.
        """

    def set_limit(self, fd: int, project: int, size_bytes: int) -> None:
        """Limit what a project may occupy on the filesystem of ``fd``.

        Raises:
            OSError: There are no quotas.
        """

    def has_quotas(self, fd: int) -> bool:
        """Whether the filesystem of ``fd`` counts projects and limits them."""

    def project(self, fd: int) -> int:
        """Return the project of an open directory; 0 for none.

        Raises:
            OSError: The filesystem has no projects.
        """

    def counted(self, fd: int, project: int) -> Usage:
        """Return what a project occupies on the filesystem of ``fd``.

        Raises:
            OSError: There are no quotas.
        """


class KernelQuotaCalls:
    """The calls themselves."""

    def set_project(self, fd: int, project: int) -> None:
        """See :class:`QuotaCalls`."""
        flags, extent, extents, _, copied = self._attributes(fd)
        fcntl.ioctl(
            fd,
            _FS_IOC_FSSETXATTR,
            _FSXATTR.pack(
                flags | _FS_XFLAG_PROJINHERIT, extent, extents, project, copied
            ),
        )

    def set_limit(self, fd: int, project: int, size_bytes: int) -> None:
        """See :class:`QuotaCalls`."""
        blocks = -(-size_bytes // _QUOTA_BLOCK)
        limit = bytearray(_DQBLK.pack(blocks, 0, 0, 0, 0, 0, 0, 0, _QIF_BLIMITS))
        quotactl_fd(fd, _Q_SETQUOTA, project, limit)

    def has_quotas(self, fd: int) -> bool:
        """See :class:`QuotaCalls`."""
        try:
            quotactl_fd(fd, _Q_GETQUOTA, 0, bytearray(_DQBLK.size))
        except OSError as error:
            # ENOENT: no such project yet, so there are quotas (XFS).
            return error.errno == errno.ENOENT
        return True

    def project(self, fd: int) -> int:
        """See :class:`QuotaCalls`."""
        return self._attributes(fd)[3]

    def counted(self, fd: int, project: int) -> Usage:
        """See :class:`QuotaCalls`."""
        found = bytearray(_DQBLK.size)
        quotactl_fd(fd, _Q_GETQUOTA, project, found)
        _, _, size_bytes, _, _, inodes, *_ = _DQBLK.unpack(found)
        return Usage(size_bytes, inodes)

    def _attributes(self, fd: int) -> tuple[int, ...]:
        attributes = bytearray(_FSXATTR.size)
        fcntl.ioctl(fd, _FS_IOC_FSGETXATTR, attributes)
        return _FSXATTR.unpack(attributes)


class QuotaLimiter:
    """Implements :class:`snapfs.state.SpaceLimiter` for mounts that the kernel makes.

    Args:
        root: The state directory, absolute.
        default_bytes: For snapshots without a label; 0 for any size.
        exempt_label: Snapshots that have it are layers that are unpacked.
        calls: The kernel's part.
    """

    def __init__(
        self,
        root: str,
        default_bytes: int,
        exempt_label: str,
        calls: QuotaCalls | None = None,
    ) -> None:
        self._default_bytes = default_bytes
        self._exempt_label = exempt_label
        self._calls = calls or KernelQuotaCalls()
        with open_directory(root) as descriptor:
            self._has_quotas = self._calls.has_quotas(descriptor)
        self._filesystem = root

    @property
    def has_quotas(self) -> bool:
        """Whether limits can be given at all."""
        return self._has_quotas

    def wants(self, labels: Mapping[str, str]) -> bool:
        """See :class:`snapfs.state.SpaceLimiter`."""
        return bool(self._size(labels))

    def limit(self, directory: str, labels: Mapping[str, str]) -> None:
        """See :class:`snapfs.state.SpaceLimiter`."""
        size = self._size(labels)
        if not size:
            return
        if not self._has_quotas:
            raise FailedPreconditionError(
                f"{self._filesystem} has no project quotas to limit a snapshot with"
                f" ({SIZE_LABEL}, limits.max_size); mount it with prjquota, or serve"
                " with --driver fuse, which counts by itself"
            )
        project = _FIRST_PROJECT + int(os.path.basename(directory)) % _FIRST_PROJECT
        try:
            with open_directory(directory) as descriptor:
                self._calls.set_project(descriptor, project)
                self._calls.set_limit(descriptor, project, size)
        except OSError as error:
            raise ResourceExhaustedError(
                f"no project quota for {directory}: {error.strerror}"
            ) from error

    def usage(self, directory: str) -> Usage | None:
        """See :class:`snapfs.state.SpaceLimiter`."""
        if not self._has_quotas:
            return None
        try:
            with open_directory(directory) as descriptor:
                project = self._calls.project(descriptor)
                if project < _FIRST_PROJECT:
                    return None
                total = self._calls.counted(descriptor, project)
                besides = _besides(directory)
        except OSError:
            return None  # whoever asks can walk it, and is told what is wrong
        return Usage(
            total.size_bytes - besides.size_bytes, total.inodes - besides.inodes
        )

    def _size(self, labels: Mapping[str, str]) -> int:
        if self._exempt_label in labels:
            return 0
        return size_limit(labels, self._default_bytes)


def _besides(directory: str) -> Usage:
    """Count a snapshot's directory without its content: few files, whatever it holds.

    A file with several names has the others in the content (overlayfs's index).
    """
    size_bytes = inodes = 0
    pending = [directory]
    while pending:
        path = pending.pop()
        status = os.lstat(path)
        if stat.S_ISDIR(status.st_mode):
            names = os.listdir(path)
            pending += [
                os.path.join(path, name)
                for name in names
                if path != directory or name != "fs"
            ]
        elif status.st_nlink > 1:
            continue
        size_bytes += status.st_blocks * _STAT_BLOCK
        inodes += 1
    return Usage(size_bytes, inodes)
