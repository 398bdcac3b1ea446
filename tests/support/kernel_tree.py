"""A mounted tree that takes changes: tuples of a method's name and its arguments."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

from snapfs.file_syscalls import (
    capabilities,
    fallocate,
    set_capabilities,
    set_fsgid,
    set_fsuid,
)
from snapfs.syscalls import renameat2

Change = tuple[Any, ...]
"""The name of a method, and arguments; its result is None, a value or an errno."""


def result_of(tree: object, change: Change) -> object:
    """Make a change; return its result, or the name of the errno."""
    name, *arguments = change
    try:
        return getattr(tree, str(name))(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno or 0]


class KernelTree:
    """Makes changes with system calls below a mount point."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def _path(self, path: str) -> str:
        return os.path.join(self.root, path)

    def user(self, uid: int, gid: int, *change: object) -> object:
        """Make a change as somebody else, with the privilege to."""
        privilege = capabilities()
        set_fsgid(gid)
        set_fsuid(uid)
        set_capabilities(privilege)
        try:
            return result_of(self, change)
        finally:
            set_fsuid(0)
            set_fsgid(0)

    def create(self, path: str, mode: int = 0o644) -> None:
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
        os.close(os.open(self._path(path), flags, mode))

    def mknod(self, path: str, mode: int, rdev: int = 0) -> None:
        os.mknod(self._path(path), mode, rdev)

    def mkdir(self, path: str, mode: int = 0o755) -> None:
        os.mkdir(self._path(path), mode)

    def symlink(self, path: str, target: str) -> None:
        os.symlink(target, self._path(path))

    def link(self, old: str, new: str) -> None:
        os.link(self._path(old), self._path(new), follow_symlinks=False)

    def tmpfile(self, directory: str, new: str, mode: int, data: bytes) -> None:
        fd = os.open(self._path(directory), os.O_TMPFILE | os.O_RDWR, mode)
        try:
            os.write(fd, data)
            os.link(f"/proc/self/fd/{fd}", self._path(new), dst_dir_fd=0)
        finally:
            os.close(fd)

    def unlink(self, path: str) -> None:
        os.unlink(self._path(path))

    def rmdir(self, path: str) -> None:
        os.rmdir(self._path(path))

    def rename(self, old: str, new: str, flags: int = 0) -> None:
        renameat2(self._path(old), self._path(new), flags)

    def chmod(self, path: str, mode: int) -> None:
        os.chmod(self._path(path), mode)

    def chown(self, path: str, uid: int, gid: int) -> None:
        os.lchown(self._path(path), uid, gid)

    def utime(self, path: str, atime_ns: int, mtime_ns: int) -> None:
        os.utime(self._path(path), ns=(atime_ns, mtime_ns), follow_symlinks=False)

    def truncate(self, path: str, size: int) -> None:
        os.truncate(self._path(path), size)

    def write(self, path: str, offset: int, data: bytes) -> int:
        fd = os.open(self._path(path), os.O_WRONLY | os.O_NOFOLLOW)
        try:
            return os.pwrite(fd, data, offset)
        finally:
            os.close(fd)

    def allocate(self, path: str, mode: int, offset: int, size: int) -> None:
        fd = os.open(self._path(path), os.O_RDWR | os.O_NOFOLLOW)
        try:
            fallocate(fd, mode, offset, size)
        finally:
            os.close(fd)

    def read(self, path: str) -> bytes:
        with open(self._path(path), "rb") as file:
            return file.read()

    def setxattr(self, path: str, name: str, value: bytes, flags: int = 0) -> None:
        os.setxattr(self._path(path), name, value, flags, follow_symlinks=False)

    def removexattr(self, path: str, name: str) -> None:
        os.removexattr(self._path(path), name, follow_symlinks=False)

    def listdir(self, path: str) -> list[str]:
        return sorted(os.listdir(self._path(path)))

    def nlink(self, path: str) -> int:
        return os.lstat(self._path(path)).st_nlink
