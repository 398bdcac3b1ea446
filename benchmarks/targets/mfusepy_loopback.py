"""A program: shows a directory through mfusepy, one call of the system for each.

It runs in an interpreter of its own that has mfusepy, and imports nothing of this
project: what the usual way to write a filesystem in Python costs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import mfusepy  # type: ignore[import-not-found,unused-ignore]  # a peer, not ours


class Loopback(mfusepy.Operations):  # type: ignore[misc,unused-ignore]  # untyped here
    """Every call goes to the same path below ``root``."""

    use_ns = True

    def __init__(self, root: str) -> None:
        self._root = root

    def _path(self, path: str) -> str:
        return self._root + path

    def getattr(self, path: str, fh: int | None = None) -> dict[str, int]:
        """Return the status as mfusepy wants it."""
        found = os.lstat(self._path(path)) if fh is None else os.fstat(fh)
        names = ("mode", "nlink", "uid", "gid", "size", "ino", "rdev", "blocks")
        status = {f"st_{name}": getattr(found, f"st_{name}") for name in names}
        for name in ("atime", "mtime", "ctime"):
            status[f"st_{name}"] = getattr(found, f"st_{name}_ns")
        return status

    def readdir(self, path: str, fh: int) -> Iterator[str]:
        """List a directory."""
        yield from (".", "..", *os.listdir(self._path(path)))

    def readlink(self, path: str) -> str:
        """Return the target of a link."""
        return os.readlink(self._path(path))

    def open(self, path: str, flags: int) -> int:
        """Open a file; its handle is our descriptor."""
        return os.open(self._path(path), flags)

    def create(self, path: str, mode: int, fi: object = None) -> int:
        """Create a file and open it."""
        return os.open(self._path(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        """Read from an open file."""
        return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        """Write to an open file."""
        return os.pwrite(fh, data, offset)

    def truncate(self, path: str, length: int, fh: int | None = None) -> None:
        """Set the size of a file."""
        os.truncate(self._path(path) if fh is None else fh, length)

    def release(self, path: str, fh: int) -> None:
        """Close an open file."""
        os.close(fh)

    def fsync(self, path: str, datasync: int, fh: int) -> None:
        """Sync an open file."""
        os.fsync(fh)

    def mkdir(self, path: str, mode: int) -> None:
        """Make a directory."""
        os.mkdir(self._path(path), mode)

    def rmdir(self, path: str) -> None:
        """Remove a directory."""
        os.rmdir(self._path(path))

    def unlink(self, path: str) -> None:
        """Remove a file."""
        os.unlink(self._path(path))

    def rename(self, old: str, new: str) -> None:
        """Give a file another name."""
        os.rename(self._path(old), self._path(new))

    def link(self, target: str, source: str) -> None:
        """Give a file one more name."""
        os.link(self._path(source), self._path(target), follow_symlinks=False)

    def symlink(self, target: str, source: str) -> None:
        """Make a symbolic link."""
        os.symlink(source, self._path(target))

    def chmod(self, path: str, mode: int) -> None:
        """Change permissions."""
        os.chmod(self._path(path), mode)

    def chown(self, path: str, uid: int, gid: int) -> None:
        """Change owners; 2**32 - 1 is none."""
        os.lchown(
            self._path(path), *(-1 if each > 1 << 31 else each for each in (uid, gid))
        )

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> None:
        """Set access and modification time."""
        if times is None:
            os.utime(self._path(path), follow_symlinks=False)
        else:
            os.utime(self._path(path), ns=times, follow_symlinks=False)


if __name__ == "__main__":
    mfusepy.FUSE(
        Loopback(sys.argv[1]),
        sys.argv[2],
        foreground=True,
        allow_other=True,
        default_permissions=True,
    )
