"""Measuring a tree: what it occupies on its disk."""

from __future__ import annotations

import os
import stat
from typing import Final

from snapfs.model import Usage
from snapfs.worker.levels import DIRECTORY_FLAGS, Level, Levels

STAT_BLOCK: Final = 512  # st_blocks counts in these whatever the filesystem, stat(2)


def measure_tree(path: str) -> Usage:
    """Return allocated bytes and inodes of a tree, its root included.

    Hard links count once; what vanishes during the walk does not count. As
    containerd's ``fs.DiskUsage`` (continuity ``fs/du_unix.go``), which fails there.

    Raises:
        OSError: Something in it cannot be read.
    """
    seen: dict[tuple[int, int], int] = {}  # blocks, by inode
    levels = Levels()
    try:
        _visit(levels, path, None, seen)
        while levels:
            directory = levels.lowest
            if directory.names:
                _visit(levels, directory.names.pop(), directory.fd, seen)
            else:
                levels.leave()
    finally:
        levels.close()
    return Usage(sum(seen.values()) * STAT_BLOCK, len(seen))


def _visit(
    levels: Levels, name: str, parent: int | None, seen: dict[tuple[int, int], int]
) -> None:
    """Count an entry; go down into a directory."""
    try:
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            levels.enter(_opened(name, parent, status))
    except FileNotFoundError:
        return  # a running container removed it
    seen[status.st_dev, status.st_ino] = status.st_blocks


def _opened(name: str, parent: int | None, status: os.stat_result) -> Level:
    fd = os.open(name, DIRECTORY_FLAGS, dir_fd=parent)
    try:
        return Level(fd, name, status, os.listdir(fd))
    except OSError:
        os.close(fd)
        raise
