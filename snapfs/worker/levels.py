"""The way down a tree and back up, by open directories only.

No long path is ever joined and the number of open directories is bounded, so that
neither PATH_MAX, nor RLIMIT_NOFILE, nor a link that is put in the way matters.
"""

from __future__ import annotations

import errno
import os
from typing import Final

DIRECTORY_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_OPEN_LEVELS: Final = 128  # open directories; few trees are deeper
_CLOSED: Final = -1


class Level:
    """A directory on the way down.

    Attributes:
        name: In the directory above; of the root of the walk as it was given.
        status: From when it was opened.
        names: What is in it and still to be visited.
    """

    __slots__ = ("fd", "name", "names", "status")

    def __init__(
        self, fd: int, name: str, status: os.stat_result, names: list[str]
    ) -> None:
        self.fd = fd  # _CLOSED while the walk is far below
        self.name = name
        self.status = status
        self.names = names


class Levels:
    """The directories from the root of a walk down to where it is.

    Only the lowest have a descriptor, so that a tree may be deeper than a process
    may have files. The way back up is "..", which must lead where we came from.
    """

    def __init__(self) -> None:
        self._stack: list[Level] = []

    def __bool__(self) -> bool:
        """Whether the walk is in some directory."""
        return bool(self._stack)

    @property
    def lowest(self) -> Level:
        """The directory that the walk is in."""
        return self._stack[-1]

    def path_to(self, name: str) -> str:
        """Return the path of ``name`` in the lowest directory, from the root on."""
        return os.path.join(*(level.name for level in self._stack), name)

    def enter(self, level: Level) -> None:
        """Go down into an open directory, whose descriptor is this object's now."""
        self._stack.append(level)
        if len(self._stack) > _OPEN_LEVELS:
            _close(self._stack[-1 - _OPEN_LEVELS])

    def leave(self) -> Level:
        """Go up; return the directory that was left, closed.

        Raises:
            OSError: ESTALE if the directory was moved meanwhile.
        """
        left = self._stack.pop()
        try:
            if self._stack and self._stack[-1].fd == _CLOSED:
                _reopen(self._stack[-1], left.fd)
        finally:
            _close(left)
        return left

    def close(self) -> None:
        """Close what is open; for a walk that ended early."""
        while self._stack:
            _close(self._stack.pop())


def _reopen(level: Level, below: int) -> None:
    fd = os.open("..", DIRECTORY_FLAGS, dir_fd=below)
    status = os.fstat(fd)
    if (status.st_dev, status.st_ino) != (level.status.st_dev, level.status.st_ino):
        os.close(fd)
        raise OSError(errno.ESTALE, "a directory was moved", level.name)
    level.fd = fd


def _close(level: Level) -> None:
    if level.fd != _CLOSED:
        os.close(level.fd)
        level.fd = _CLOSED
