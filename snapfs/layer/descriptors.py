"""Open directories of the staging directory, by their node in the tree.

The node is the key, never the path: a path that was a directory once may be a
symlink now (CVE-2025-47290), a node is the same directory for ever.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from typing import Final

from snapfs.layer.admission import ROOT
from snapfs.layer.nodes import Nodes

DIRECTORY_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

# A tar comes back to a few directories only; several layers share RLIMIT_NOFILE.
_OPEN: Final = 64
# Of the way down to a directory that is not open. At most half, so that the
# directory that was asked for before this one stays open: link(2) takes two.
_OPEN_ON_THE_WAY: Final = _OPEN // 2


class DirectoryDescriptors:
    """The directories that were used last, opened one component at a time.

    Descriptors are lent: the one of an earlier call holds through the next call,
    no longer. The root's descriptor is the caller's and is never closed here.
    """

    def __init__(self, root: int, nodes: Nodes) -> None:
        self._root = root
        self._nodes = nodes
        self._open: OrderedDict[int, int] = OrderedDict()

    def get(self, node: int) -> int:
        """Return a descriptor of the directory ``node``.

        Raises:
            OSError: It cannot be opened, or is no directory.
        """
        if node == ROOT:
            return self._root
        fd = self._open.get(node)
        if fd is None:
            return self._enter(node)
        self._open.move_to_end(node)
        return fd

    def _enter(self, node: int) -> int:
        """Open a directory from the nearest one above it that is open."""
        parents = self._nodes.parents
        way = []
        while node != ROOT and node not in self._open:
            way.append(node)
            node = parents[node]
        at = self.get(node)
        passing = -1
        while way:
            below = way.pop()
            try:
                fd = os.open(self._nodes.name(below), DIRECTORY_FLAGS, dir_fd=at)
            finally:
                if passing >= 0:
                    os.close(passing)
            at = fd
            if len(way) < _OPEN_ON_THE_WAY:
                passing = -1
                self._keep(below, fd)
            else:
                passing = fd
        return at

    def _keep(self, node: int, fd: int) -> None:
        self._open[node] = fd
        if len(self._open) > _OPEN:
            os.close(self._open.popitem(last=False)[1])

    def forget(self, node: int) -> None:
        """Close a directory that nobody will ask for again."""
        fd = self._open.pop(node, None)
        if fd is not None:
            os.close(fd)

    def close(self) -> None:
        """Close all but the root."""
        while self._open:
            os.close(self._open.popitem()[1])
