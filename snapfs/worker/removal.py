"""Removing trees: many at a time, with as few system calls as the small ones need.

Most trees are a handful of files and directories that nobody ever wrote to. So a
directory is removed before it is looked into, and what lies in it is only measured
for those who want to know.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Sequence
from typing import Final

from snapfs.model import Usage
from snapfs.values import dataclass
from snapfs.worker.levels import DIRECTORY_FLAGS, Level, Levels
from snapfs.worker.measuring import STAT_BLOCK
from snapfs.worker.mount_watch import MountWatch

# rmdir(2): a directory that is not empty is refused with either.
_NOT_EMPTY: Final = (errno.ENOTEMPTY, errno.EEXIST)
# open(2) with O_DIRECTORY and O_NOFOLLOW: a file, or a link.
_NO_DIRECTORY: Final = (errno.ENOTDIR, errno.ELOOP)


@dataclass(frozen=True, slots=True)
class Removal:
    """What became of one tree.

    Attributes:
        usage: What it occupied, as far as it is gone; the size is 0 where it was not
            to be measured.
        error: Why something of it stays: the first error; None if all is gone.
    """

    usage: Usage
    error: OSError | None = None


def remove_trees(
    directory: str, names: Sequence[str], *, measured: bool
) -> list[Removal]:
    """Remove the trees ``names`` in ``directory``, whatever their depth and modes.

    The answers are in the order of the names. A tree that is not there occupied
    nothing. Of one that cannot be removed whole, all is gone that can be; but one in
    which something is mounted (EBUSY) stays whole, for the files of another
    filesystem must not be removed.

    Raises:
        OSError: ``directory`` cannot be opened.
    """
    top = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with MountWatch.on(directory) as mounts:
            return [_remove_tree(top, name, mounts, measured) for name in names]
    finally:
        os.close(top)


def _remove_tree(top: int, name: str, mounts: MountWatch, measured: bool) -> Removal:
    target = mounts.mount_below(name)
    if target:
        error = OSError(errno.EBUSY, "something is mounted there", target)
        return Removal(Usage(), error)
    walk = _Walk(measured)
    try:
        walk.remove(top, name)
    except OSError as error:
        walk.fail(error, name)
    finally:
        walk.levels.close()
    return Removal(Usage(walk.blocks * STAT_BLOCK, walk.inodes), walk.error)


class _Walk:
    """The removal of one tree: where it is, and what it has removed so far."""

    def __init__(self, measured: bool) -> None:
        self.levels = Levels()
        self.blocks = 0
        self.inodes = 0
        self.error: OSError | None = None
        self._measured = measured
        self._device: int | None = None  # of the tree's root

    def fail(self, error: OSError, path: str) -> None:
        """Remember the first error, with the path from the tree's root on."""
        if self.error is None:
            self.error = OSError(error.errno, error.strerror, path)

    def remove(self, top: int, name: str) -> None:
        """Remove ``name`` in the open directory ``top``.

        Raises:
            OSError: The walk cannot go on.
        """
        self._empty(name, top)
        while self.levels:
            directory = self.levels.lowest
            if directory.names:
                self._empty(directory.names.pop(), directory.fd)
                continue
            self.levels.leave()
            above = self.levels.lowest.fd if self.levels else top
            self._remove_directory(directory.name, above, directory.status)

    def _empty(self, name: str, parent: int) -> None:
        """Remove what lies in a directory, but for directories that are not empty.

        These are left for the walk. What is no directory is removed itself.
        """
        try:
            level, entries = self._opened(name, parent)
        except FileNotFoundError:
            return  # gone is what was wanted
        except OSError as error:
            if error.errno in _NO_DIRECTORY:
                self._unlink(name, parent)
            else:
                self.fail(error, self.levels.path_to(name))
            return
        self.levels.enter(level)
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                self._unlink(entry.name, level.fd)
            elif not self._remove_directory(entry.name, level.fd):
                level.names.append(entry.name)

    def _opened(self, name: str, parent: int) -> tuple[Level, list[os.DirEntry[str]]]:
        """Open a directory to be emptied; return it with what lies in it.

        Raises:
            OSError: It cannot be read; EBUSY if it is on another filesystem.
        """
        fd = _open_whatever_the_mode(name, parent)
        try:
            status = os.fstat(fd)
            self._refuse_other_filesystem(status.st_dev)
            if status.st_mode & stat.S_IRWXU != stat.S_IRWXU:
                # For a process without CAP_DAC_OVERRIDE; a removal says if it failed.
                with contextlib.suppress(OSError):
                    os.chmod(fd, stat.S_IRWXU)
            with os.scandir(fd) as listing:
                # All: POSIX lets a removal disturb a listing that is under way.
                entries = list(listing)
        except OSError:
            os.close(fd)
            raise
        return Level(fd, name, status, []), entries

    def _refuse_other_filesystem(self, device: int) -> None:
        if self._device is None:
            self._device = device
        if device != self._device:  # mounted just now
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    def _unlink(self, name: str, parent: int) -> None:
        try:
            blocks = self._blocks(name, parent)
            os.unlink(name, dir_fd=parent)
        except FileNotFoundError:
            return  # gone is what was wanted
        except OSError as error:
            self.fail(error, self.levels.path_to(name))
            return
        self.blocks += blocks
        self.inodes += 1

    def _remove_directory(
        self, name: str, parent: int, emptied: os.stat_result | None = None
    ) -> bool:
        """Remove a directory; return whether the walk is done with it.

        ``emptied`` is its status, if the walk has been in it. Otherwise one that is
        not empty is no error.
        """
        try:
            blocks = self._blocks(name, parent, emptied)
            os.rmdir(name, dir_fd=parent)
        except FileNotFoundError:
            return True  # gone is what was wanted
        except OSError as error:
            if error.errno in _NOT_EMPTY and emptied is None:
                return False
            self.fail(error, self.levels.path_to(name))
            return True
        self.blocks += blocks
        self.inodes += 1
        return True

    def _blocks(
        self, name: str, parent: int, status: os.stat_result | None = None
    ) -> int:
        if not self._measured:
            return 0
        if status is None:
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        return status.st_blocks


def _open_whatever_the_mode(name: str, parent: int) -> int:
    """Open a directory that is to be removed, even if its mode forbids to read it."""
    try:
        return os.open(name, DIRECTORY_FLAGS, dir_fd=parent)
    except PermissionError:
        # By a descriptor: chmod(2) would follow a link that was put there meanwhile.
        handle = os.open(name, os.O_PATH | DIRECTORY_FLAGS, dir_fd=parent)
    try:
        with contextlib.suppress(OSError):  # the next open says why
            os.chmod(f"/proc/self/fd/{handle}", stat.S_IRWXU)
    finally:
        os.close(handle)
    return os.open(name, DIRECTORY_FLAGS, dir_fd=parent)
