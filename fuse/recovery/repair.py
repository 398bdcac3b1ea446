"""Bringing table and upper together where a server died between the two.

Each change of the tree is one system call that takes effect at once. So of a request
that was never answered either nothing was done, or all; or all but the table's part.
Which of them shows on the disk: whoever is the kernel's caller holds the directory, so
nobody else can have made or taken away the name meanwhile.
"""

from __future__ import annotations

import os
import stat

from snapfs.file_syscalls import set_times
from snapfs.fuse.recovery.memory import SharedMemory
from snapfs.fuse.union.found_nodes import copied_up_ino
from snapfs.fuse.union.lookup import FORMAT_MASK, is_hidden_in_upper
from snapfs.fuse.union.no_log import INTEND_TIMES
from snapfs.fuse.union.node import (
    DETACHED,
    IMPURE,
    METACOPY,
    PINNED,
    REMOVED,
    Directory,
    Node,
)
from snapfs.fuse.union.remove_tree import list_names
from snapfs.fuse.union.workdir import pinned_name
from snapfs.light_typing import TYPE_CHECKING
from snapfs.overlay_marks import Marks, path_of, stat_entry

if TYPE_CHECKING:
    from snapfs.fuse.union.union import Union
    from snapfs.fuse.union.workdir import WorkDirectory


class Repair:
    """Looks at what is on the disk, for the nodes that a death can have left behind."""

    def __init__(self, union: Union, work: WorkDirectory) -> None:
        self._union = union
        self._work = work

    def pinned_files(self) -> None:
        """Settle what each file is that the work directory keeps for a node.

        Raises:
            OSError: From the upper's filesystem.
        """
        for name in list_names(self._work.fd, b"."):
            try:
                nodeid = int(name[1:], 16)
            except ValueError:
                continue
            if pinned_name(nodeid) == name:
                self._pinned_file(name, self._union.nodes.get(nodeid))

    def _pinned_file(self, name: bytes, node: Node | None) -> None:
        """Settle one file: nobody's, one that has its name still, or has lost it."""
        nodes = self._union.nodes
        if node is None or pinned_name(node.nodeid) != name:
            self._work.discard(name)
            return
        if node.flags & DETACHED:
            if not node.flags & PINNED:  # copied up without a name
                node.flags |= PINNED
                node.layer = 0
                node.flags &= ~METACOPY
                nodes.changed(node)
            return
        if self._has_name(name, node):
            self._work.discard(name)
            if node.flags & PINNED:
                node.flags &= ~PINNED
                nodes.changed(node)
            return
        assert node.parent is not None
        node.flags |= PINNED
        nodes.detach(node, node.parent, node.name)

    def _has_name(self, kept: bytes, node: Node) -> bool:
        parent = node.parent
        assert parent is not None
        if not parent.has_upper or parent.flags & REMOVED:
            return False
        named = stat_entry(self._union.directory_fd(parent, 0), node.name)
        pinned = os.stat(kept, dir_fd=self._work.fd, follow_symlinks=False)
        return named is not None and named.st_ino == pinned.st_ino

    def cover(self, parent: Directory, name: bytes) -> None:
        """Put a whiteout where the upper has nothing.

        Raises:
            OSError: From the upper's filesystem.
        """
        self._work.whiteout(self._union.directory_fd(parent, 0), name)

    def directory_times(self, memory: SharedMemory) -> None:
        """Give a directory the times back that a copy-up was to leave as they were.

        Raises:
            OSError: From utimensat(2).
        """
        intention = memory.intention(INTEND_TIMES)
        if not intention:
            return
        nodeid, *times = intention
        node = self._union.nodes.get(nodeid)
        if isinstance(node, Directory) and not node.flags & REMOVED:
            self.directory(node)
            fd = self._union.directory_fd(node, 0)
            set_times(fd, b".", *(_signed(time) for time in times))
        self._union.nodes.log.achieved(INTEND_TIMES)

    def directory(self, directory: Directory) -> None:
        """See whether a directory and those above it have been copied up.

        Raises:
            OSError: From the upper's filesystem.
        """
        chain: list[Directory] = []
        current: Directory | None = directory
        while current is not None:
            chain.append(current)
            current = current.parent
        for each in reversed(chain):
            if each.flags & REMOVED:
                return
            if not each.has_upper and not self._is_copied(each):
                return
            self._see_impure(each)

    def _is_copied(self, directory: Directory) -> bool:
        parent = directory.parent
        if parent is None or not parent.has_upper:
            return False
        fd = self._union.directory_fd(parent, 0)
        status = stat_entry(fd, directory.name)
        if status is None or not stat.S_ISDIR(status.st_mode):
            return False
        directory.layer = 0
        directory.has_upper = True
        self._union.nodes.changed(directory)
        return True

    def _see_impure(self, directory: Directory) -> None:
        union = self._union
        if directory.flags & IMPURE or not union.stack.layers[0].has_xattrs:
            return
        path = path_of(union.directory_fd(directory, 0), b".")
        if Marks(path, union.stack.prefix).is_impure:
            directory.flags |= IMPURE
            union.nodes.changed(directory)

    def node(self, node: Node) -> None:
        """See whether a node has been copied up.

        Raises:
            OSError: From the upper's filesystem.
        """
        if isinstance(node, Directory):
            self.directory(node)
            return
        parent = node.parent
        if parent is None or node.flags & (DETACHED | PINNED):
            return
        self.directory(parent)
        if not parent.has_upper or not (node.layer or node.flags & METACOPY):
            return
        fd = self._union.directory_fd(parent, 0)
        status = stat_entry(fd, node.name)
        if status is None or is_hidden_in_upper(fd, node.name, status, self._union):
            return
        if status.st_mode & FORMAT_MASK == node.kind and not self._has_no_data(
            node, fd, status
        ):
            if node.layer:  # by its origin, or its own: not that of other names below
                own = self._union.numbers.shown(0, status.st_ino)
                node.ino = copied_up_ino(self._union, parent, node.name, node.kind, own)
            self.in_upper(node)

    def _has_no_data(self, node: Node, fd: int, status: os.stat_result) -> bool:
        """Tell whether an upper file still is attributes alone."""
        if node.layer or not stat.S_ISREG(status.st_mode):
            return False
        return Marks(path_of(fd, node.name), self._union.stack.prefix).is_metacopy()

    def in_upper(self, node: Node) -> None:
        """Note that a node is in the upper, with all its data."""
        node.layer = 0
        if isinstance(node, Directory):
            node.has_upper = True
        if node.flags & METACOPY:
            node.flags &= ~METACOPY
            self._union.data_places.pop(node.nodeid, None)
        self._union.nodes.changed(node)


def _signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number
