"""link(2): one more name for a file of the upper.

A lower file is copied up first. With that its other lower names are files of their
own, as with overlayfs's ``index=off``.
"""

from __future__ import annotations

import errno
import os

from snapfs.fuse.union.lookup import is_hidden_in_upper
from snapfs.fuse.union.node import DETACHED, IMPURE, METACOPY, PINNED, Directory, Node
from snapfs.fuse.union.workdir import pinned_name
from snapfs.fuse.union.writer import Writer, is_directory
from snapfs.overlay_marks import stat_entry


class Linker:
    """Makes hard links."""

    __slots__ = ("_union", "_writer")

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._union = writer.union

    def link(self, node: Node, parent: Directory, name: bytes) -> Node:
        """Have ``name`` in ``parent`` lead to ``node`` too; return the node.

        A file without a name (``O_TMPFILE``) gets its first; ``Union.found_status`` is
        its status then.

        Raises:
            OSError: EPERM, a directory; EEXIST; EMLINK; EROFS; or from copying up.
        """
        if is_directory(node):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), name)
        writer = self._writer
        writer.upper_fd(parent)
        is_impure = bool(node.layer) or _may_have_origin(node)
        if node.layer or node.flags & METACOPY:
            writer.copy_up.copy_up(node)
        if is_impure and parent is not node.parent:
            writer.copy_up.marks.set_impure(parent)
        source_fd, source = self._union.place(node)
        target_fd = writer.upper_fd(parent)
        try:
            self._link(source_fd, source, target_fd, name)
        except FileExistsError:
            status = stat_entry(target_fd, name)
            if status is None or not is_hidden_in_upper(
                target_fd, name, status, self._union
            ):
                raise
            self._link_over_whiteout(source_fd, source, target_fd, name)
        self.note(node, parent, name)
        return node

    def _link(self, source_fd: int, source: bytes, fd: int, name: bytes) -> None:
        os.link(
            source, name, src_dir_fd=source_fd, dst_dir_fd=fd, follow_symlinks=False
        )

    def _link_over_whiteout(
        self, source_fd: int, source: bytes, fd: int, name: bytes
    ) -> None:
        work = self._writer.work
        temporary = work.temporary()
        self._link(source_fd, source, work.fd, temporary)
        try:
            os.rename(temporary, name, src_dir_fd=work.fd, dst_dir_fd=fd)
        except BaseException:
            work.discard(temporary)
            raise

    def note(self, node: Node, parent: Directory, name: bytes) -> None:
        """Note that ``name`` in ``parent`` leads to ``node``.

        Raises:
            OSError: From fstatat(2).
        """
        nodes = self._union.nodes
        fd = self._writer.upper_fd(parent)
        nodes.alias(node, parent, name)
        if node.flags & PINNED and not node.flags & DETACHED:
            # It is found by its name from now on.
            node.flags &= ~PINNED
            nodes.changed(node)
            os.unlink(pinned_name(node.nodeid), dir_fd=self._writer.work.fd)
        status = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if status.st_nlink > 1:
            nodes.share(node, status.st_ino)
        self._union.found_status = status
        self._union.entry_added(parent, name, node)


def _may_have_origin(node: Node) -> bool:
    return node.parent is not None and bool(node.parent.flags & IMPURE)
