"""Walks over whole trees, by open directories only.

No long path is ever joined and the number of open directories is bounded, so that
neither PATH_MAX, nor RLIMIT_NOFILE, nor a link that is put in the way matters.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from typing import Final

from snapfs.model import Usage
from snapfs.mountinfo import mounts_below

_BLOCK: Final = 512  # st_blocks counts in these whatever the filesystem, stat(2)
_OPEN_LEVELS: Final = 128  # open directories; few trees are deeper
_CLOSED: Final = -1
_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def measure_tree(path: str) -> Usage:
    """Return allocated bytes and inodes of a tree, its root included.

    Hard links count once; what vanishes during the walk does not count. As
    containerd's ``fs.DiskUsage`` (continuity ``fs/du_unix.go``), which fails there.
    """
    seen: set[tuple[int, int]] = set()
    size = 0
    for entry, _name, _directory in _entries(path):
        identity = (entry.st_dev, entry.st_ino)
        if identity not in seen:
            seen.add(identity)
            size += entry.st_blocks * _BLOCK
    return Usage(size, len(seen))


def remove_tree(path: str) -> Usage:
    """Remove a tree whatever its depth and modes; return what it occupied.

    Raises:
        OSError: EBUSY if something is mounted in it: nothing is removed then, for
            the files of another filesystem must not be. Else the first error of an
            entry that cannot be removed; all that can be is gone.
    """
    busy = mounts_below(path)
    if busy:
        raise OSError(errno.EBUSY, "something is mounted there", busy[0].target)
    size = inodes = 0
    failure: OSError | None = None
    for entry, name, directory in _entries(path, to_remove=True):
        try:
            if stat.S_ISDIR(entry.st_mode):
                os.rmdir(name, dir_fd=directory)
            else:
                os.unlink(name, dir_fd=directory)
        except FileNotFoundError:
            continue  # gone is what was wanted
        except OSError as error:
            failure = failure or error
            continue
        size += entry.st_blocks * _BLOCK
        inodes += 1
    if failure is not None:
        raise failure
    return Usage(size, inodes)


def _entries(
    path: str, *, to_remove: bool = False
) -> Iterator[tuple[os.stat_result, str, int | None]]:
    """Yield status, name and parent directory of each entry, children first.

    The root's name is ``path`` and its directory None. A tree that is not there has
    no entries; what vanishes meanwhile is left out. With ``to_remove``, directories
    are made writable, and what cannot be looked into is yielded all the same: its
    removal says why.
    """
    try:
        root = os.lstat(path)
    except FileNotFoundError:
        return
    if stat.S_ISDIR(root.st_mode):
        levels = _Levels(root.st_dev, to_remove=to_remove)
        try:
            if levels.enter(path, root, None):
                yield from _below(levels)
        finally:
            levels.close()
    yield root, path, None


def _below(levels: _Levels) -> Iterator[tuple[os.stat_result, str, int | None]]:
    while levels:
        name = levels.next_name()
        if name is None:
            entry, own_name = levels.leave()
            if levels:
                yield entry, own_name, levels.fd
            continue
        try:
            entry = os.stat(name, dir_fd=levels.fd, follow_symlinks=False)
            if stat.S_ISDIR(entry.st_mode) and levels.enter(name, entry, levels.fd):
                continue
        except FileNotFoundError:
            continue  # a running container removed it
        yield entry, name, levels.fd


class _Level:
    """A directory on the way down and the names in it that are to be visited."""

    __slots__ = ("entry", "fd", "name", "names")

    def __init__(
        self, fd: int, name: str, entry: os.stat_result, names: list[str]
    ) -> None:
        self.fd = fd  # _CLOSED while the walk is far below
        self.name = name
        self.entry = entry
        self.names = names


class _Levels:
    """The directories from the root of a walk down to where it is.

    Only the lowest have a descriptor, so that a tree may be deeper than a process
    may have files. The way back up is "..", which must lead where we came from.
    """

    def __init__(self, device: int, *, to_remove: bool) -> None:
        self._device = device
        self._to_remove = to_remove
        self._stack: list[_Level] = []

    def __bool__(self) -> bool:
        return bool(self._stack)

    @property
    def fd(self) -> int:
        """The directory that the walk is in."""
        return self._stack[-1].fd

    def next_name(self) -> str | None:
        """Take the next name to be visited in this directory; None if none is left."""
        names = self._stack[-1].names
        return names.pop() if names else None

    def enter(self, name: str, entry: os.stat_result, parent: int | None) -> bool:
        """Go down into a directory; return whether that was possible.

        Raises:
            FileNotFoundError: It vanished.
            OSError: It cannot be read, and is not to be removed.
        """
        if self._to_remove and entry.st_dev != self._device:
            return False  # mounted just now; rmdir(2) will refuse it
        try:
            fd = self._open(name, entry, parent)
        except FileNotFoundError:
            raise
        except OSError:
            if self._to_remove:
                return False
            raise
        try:
            names = os.listdir(fd)
        except OSError:
            os.close(fd)
            raise
        self._stack.append(_Level(fd, name, entry, names))
        if len(self._stack) > _OPEN_LEVELS:
            _close(self._stack[-1 - _OPEN_LEVELS])
        return True

    def leave(self) -> tuple[os.stat_result, str]:
        """Go up; return the status and the name of the directory that was left.

        Raises:
            OSError: ESTALE if the directory was moved meanwhile.
        """
        left = self._stack.pop()
        try:
            if self._stack and self._stack[-1].fd == _CLOSED:
                self._reopen(self._stack[-1], left.fd)
        finally:
            _close(left)
        return left.entry, left.name

    def close(self) -> None:
        """Close what is open; for a walk that ended early."""
        for level in self._stack:
            _close(level)

    def _open(self, name: str, entry: os.stat_result, parent: int | None) -> int:
        if not self._to_remove or entry.st_mode & stat.S_IRWXU == stat.S_IRWXU:
            return os.open(name, _FLAGS, dir_fd=parent)
        # For a walk without CAP_DAC_OVERRIDE; if it fails, the open says why. By a
        # descriptor: chmod(2) would follow a link that was put there meanwhile.
        handle = os.open(name, os.O_PATH | _FLAGS, dir_fd=parent)
        try:
            with contextlib.suppress(OSError):
                os.chmod(f"/proc/self/fd/{handle}", stat.S_IRWXU)
        finally:
            os.close(handle)
        return os.open(name, _FLAGS, dir_fd=parent)

    def _reopen(self, level: _Level, below: int) -> None:
        fd = os.open("..", _FLAGS, dir_fd=below)
        status = os.fstat(fd)
        if (status.st_dev, status.st_ino) != (level.entry.st_dev, level.entry.st_ino):
            os.close(fd)
            raise OSError(errno.ESTALE, "a directory was moved", level.name)
        level.fd = fd


def _close(level: _Level) -> None:
    if level.fd != _CLOSED:
        os.close(level.fd)
        level.fd = _CLOSED
