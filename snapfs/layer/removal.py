"""Removal of what a later entry replaces, and of a staging directory's content.

By open directories only, and with few of them open: no long path is joined, no
link is followed, and no depth is too deep.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Final

from snapfs.layer.descriptors import DIRECTORY_FLAGS

_OPEN: Final = 64
_CLOSED: Final = -1


class _Level:
    """A directory on the way down, and the directories in it that remain."""

    __slots__ = ("fd", "name", "names")

    def __init__(self, fd: int, name: bytes) -> None:
        self.fd = fd
        self.name = name
        self.names: list[bytes] = []


class Removed:
    """What was removed so far, a file when its last name went.

    Attributes:
        blocks: Of all but directories, of 512 bytes, as stat(2) counts them.
        inodes: Objects, directories among them.
    """

    __slots__ = ("blocks", "inodes")

    def __init__(self) -> None:
        self.blocks = 0
        self.inodes = 0

    def unlink(self, name: bytes, directory: int) -> None:
        """Remove a name that is no directory.

        Raises:
            OSError: From unlink(2).
        """
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        os.unlink(name, dir_fd=directory)
        if status.st_nlink == 1:
            self.blocks += status.st_blocks
            self.inodes += 1

    def rmdir(self, name: bytes, directory: int) -> None:
        """Remove an empty directory.

        Raises:
            OSError: From rmdir(2).
        """
        os.rmdir(name, dir_fd=directory)
        self.inodes += 1


def discard_tree(directory: int, removed: Removed | None = None) -> None:
    """Remove all that an open directory holds; the directory itself stays.

    Modes are no obstacle for the owner. Nothing else may write there meanwhile.
    ``removed`` counts what went.

    Raises:
        OSError: Something cannot be removed; EBUSY if it is a mount point.
    """
    removed = removed or Removed()
    levels = [_Level(os.dup(directory), b"")]
    try:
        levels[0].names = _empty(levels[0].fd, removed)
        _remove_below(levels, removed)
    finally:
        for level in levels:
            _close(level)


def remove_directory(name: bytes, parent: int, removed: Removed) -> None:
    """Remove the directory ``name`` of an open directory with all below it.

    Raises:
        OSError: As :func:`discard_tree`; ENOTDIR or ELOOP if it is no directory.
    """
    try:
        removed.rmdir(name, parent)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
    else:
        return
    fd = _open_for_removal(name, parent)
    try:
        discard_tree(fd, removed)
    finally:
        os.close(fd)
    removed.rmdir(name, parent)


def _remove_below(levels: list[_Level], removed: Removed) -> None:
    while True:
        level = levels[-1]
        if level.names:
            name = level.names.pop()
            lower = _Level(_open_for_removal(name, level.fd), name)
            levels.append(lower)
            if len(levels) > _OPEN:
                _close(levels[-1 - _OPEN])
            lower.names = _empty(lower.fd, removed)
            continue
        if len(levels) == 1:
            return
        above = levels[-2]
        if above.fd == _CLOSED:  # private to us: ".." is where we came from
            above.fd = os.open("..", DIRECTORY_FLAGS, dir_fd=level.fd)
        removed.rmdir(level.name, above.fd)
        _close(levels.pop())


def _empty(fd: int, removed: Removed) -> list[bytes]:
    """Remove what can go at once; return the directories that are not empty."""
    remaining = []
    with os.scandir(fd) as listing:
        entries = [
            (os.fsencode(e.name), e.is_dir(follow_symlinks=False)) for e in listing
        ]
    for name, is_directory in entries:
        if not is_directory:
            removed.unlink(name, fd)
            continue
        try:
            removed.rmdir(name, fd)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            remaining.append(name)
    return remaining


def _open_for_removal(name: bytes, parent: int) -> int:
    """Open a directory, readable and writable to its owner from now on."""
    handle = os.open(name, os.O_PATH | DIRECTORY_FLAGS, dir_fd=parent)
    try:
        if os.fstat(handle).st_mode & stat.S_IRWXU != stat.S_IRWXU:
            os.chmod(f"/proc/self/fd/{handle}", stat.S_IRWXU)
        return os.open(b".", DIRECTORY_FLAGS, dir_fd=handle)
    finally:
        os.close(handle)


def _close(level: _Level) -> None:
    if level.fd != _CLOSED:
        os.close(level.fd)
        level.fd = _CLOSED
