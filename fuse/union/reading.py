"""Reading links, filesystem totals, and the blocks of files in two parts."""

from __future__ import annotations

import os

from snapfs.light_typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from snapfs.fuse.union.budget import Budget
    from snapfs.fuse.union.node import Node
    from snapfs.fuse.union.union import Union

_STATUS_NAMES: Final = tuple(n for n in dir(os.stat_result) if n.startswith("st_"))


def read_link(union: Union, node: Node) -> bytes:
    """Return the target of a symbolic link.

    Raises:
        OSError: From readlinkat(2).
    """
    fd, name = union.place(node)
    return os.readlink(name, dir_fd=fd)


def statfs(union: Union) -> os.statvfs_result:
    """Return the totals of the upper's filesystem, or the highest lower's.

    Raises:
        OSError: From fstatvfs(3).
    """
    stack = union.stack
    layer = stack.upper if stack.upper is not None else stack.layers[1]
    found = os.statvfs(b"/proc/self/fd/%d/." % layer.root_fd)
    return found if union.budget is None else _within(union.budget, found)


def _within(budget: Budget, found: os.statvfs_result) -> os.statvfs_result:
    """Return totals as if the filesystem were as large as the limit."""
    unit = found.f_frsize
    total = min(found.f_blocks, budget.limit // unit)
    left = min(found.f_bavail, max(0, budget.limit - budget.used) // unit)
    fields = list(found)
    fields[2:5] = total, left, left  # f_blocks, f_bfree, f_bavail
    return os.statvfs_result(fields)


def with_data_blocks(
    union: Union, node: Node, status: os.stat_result
) -> os.stat_result:
    """Return the status of a metacopy file with the blocks of its data.

    Raises:
        OSError: From opening the data.
    """
    fd = union.open_data(node, os.O_PATH)
    try:
        blocks = os.stat(fd).st_blocks
    finally:
        os.close(fd)
    named = {name: getattr(status, name) for name in _STATUS_NAMES}
    named["st_blocks"] = blocks
    return os.stat_result(tuple(status), named)
