"""unlink(2) and rmdir(2): what only the upper has goes, what a lower has is covered.

The rules are those of ``ovl_do_remove`` (``fs/overlayfs/dir.c``). A file that somebody
may still have open goes to the work directory until the kernel forgets it.
"""

from __future__ import annotations

import errno
import os

from snapfs.fuse.union.copy_metadata import copy_to_entry
from snapfs.fuse.union.node import REMOVED, Directory, Node
from snapfs.fuse.union.workdir import pinned_name
from snapfs.fuse.union.writer import Writer, is_directory
from snapfs.light_typing import Final

_NOT_EMPTY: Final = frozenset((errno.ENOTEMPTY, errno.EEXIST))


class Remover:
    """Takes names away."""

    __slots__ = ("_union", "_writer")

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._union = writer.union

    def remove(self, parent: Directory, name: bytes) -> Node:
        """Remove a name that is not a directory; return the node that had it.

        Raises:
            OSError: ENOENT; EISDIR; EROFS; or from the upper's filesystem.
        """
        writer = self._writer
        parent_fd = writer.upper_fd(parent)
        node = writer.lookup(parent, name)
        if is_directory(node):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
        is_pinned = False
        if node.layer:
            writer.work.whiteout(parent_fd, name)
            self._union.note_whiteout(parent, name)
        else:
            is_pinned = writer.must_pin(node)
            is_covered = bool(parent.lowers) and writer.is_in_lowers(parent, name)
            self._remove_upper(node, parent_fd, name, is_pinned, is_covered)
            if is_covered:
                self._union.note_whiteout(parent, name)
        writer.name_lost(node, parent, name, is_pinned=is_pinned)
        self._union.entry_removed(parent, name)
        return node

    def _remove_upper(
        self, node: Node, fd: int, name: bytes, is_pinned: bool, is_covered: bool
    ) -> None:
        if is_covered:
            if is_pinned:
                self._writer.cover_and_keep(fd, name, pinned_name(node.nodeid))
            else:
                self._writer.cover(fd, name)
        elif is_pinned:
            kept = pinned_name(node.nodeid)
            work_fd = self._writer.work.fd
            os.rename(name, kept, src_dir_fd=fd, dst_dir_fd=work_fd)
        else:
            os.unlink(name, dir_fd=fd)

    def remove_directory(self, parent: Directory, name: bytes) -> Directory:
        """Remove a directory that shows no entries; return its node.

        The node stays for those who are in it, without entries, links or changes.

        Raises:
            OSError: ENOENT; ENOTDIR; ENOTEMPTY; EROFS; or from the filesystem.
        """
        writer = self._writer
        parent_fd = writer.upper_fd(parent)
        node = writer.lookup(parent, name)
        if not isinstance(node, Directory):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name)
        if node.lowers:
            self.refuse_entries(node)
        status = self.status_before(node)
        if parent.lowers and writer.is_in_lowers(parent, name):
            self._cover_directory(node, parent_fd, name)
        else:
            self._remove_upper_directory(node, parent_fd, name)
        self.directory_lost(node, parent, name, status)
        self._union.entry_removed(parent, name)
        return node

    def status_before(self, node: Directory) -> os.stat_result | None:
        """Return what a directory will show once it is gone, to those who are in it.

        It can be reached by them afterwards.

        Raises:
            OSError: From fstatat(2).
        """
        if not node.lookups:
            return None
        self._union.descriptors.retain(node)
        status = self._union.status(node)[0]
        self._union.nodes.log.last_status(node.nodeid, status)
        return status

    def refuse_entries(self, directory: Directory) -> None:
        """Check that a directory shows nothing.

        Raises:
            OSError: ENOTEMPTY; or from reading it.
        """
        if not self._union.listing(directory).is_empty:
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), directory.name)

    def _cover_directory(self, node: Directory, parent_fd: int, name: bytes) -> None:
        writer = self._writer
        if not node.has_upper:
            writer.work.whiteout(parent_fd, name)
            return
        if not node.lowers:
            self.refuse_entries(node)
        temporary = writer.work.temporary()
        writer.cover_and_keep(parent_fd, name, temporary)
        writer.work.discard(temporary)

    def _remove_upper_directory(
        self, node: Directory, parent_fd: int, name: bytes
    ) -> None:
        try:
            os.rmdir(name, dir_fd=parent_fd)
        except OSError as error:
            if error.errno not in _NOT_EMPTY:
                raise
        else:
            return
        # Whiteouts may be all that is left in it.
        self.refuse_entries(node)
        work = self._writer.work
        temporary = work.temporary()
        os.rename(name, temporary, src_dir_fd=parent_fd, dst_dir_fd=work.fd)
        work.discard(temporary)

    def directory_lost(
        self,
        node: Directory,
        parent: Directory,
        name: bytes,
        status: os.stat_result | None,
    ) -> None:
        """Note that a directory is gone; ``status`` is what it goes on showing."""
        union = self._union
        union.descriptors.drop_all(node)
        union.entry_changed(node)
        node.flags |= REMOVED
        if status is not None:
            union.removed_statuses[node.nodeid] = status
        self._writer.name_lost(node, parent, name, is_pinned=False)

    def empty_upper(self, directory: Directory) -> None:
        """Take away the whiteouts of an upper directory that shows no entries.

        One that is merged is exchanged for an empty opaque one, so that nothing below
        it shows at any moment (``ovl_clear_empty``); its node is of no use then.

        Raises:
            OSError: From the filesystem.
        """
        fd = self._union.directory_fd(directory, 0)
        if directory.lowers:
            self._exchange_for_empty(directory, fd)
            return
        with os.scandir(b"/proc/self/fd/%d" % fd) as entries:
            names = [entry.name for entry in entries]
        for name in names:
            os.unlink(name, dir_fd=fd)

    def _exchange_for_empty(self, directory: Directory, fd: int) -> None:
        writer = self._writer
        work = writer.work
        parent = directory.parent
        assert parent is not None
        temporary = work.temporary()
        os.mkdir(temporary, 0o700, dir_fd=work.fd)
        try:
            source = b"/proc/self/fd/%d/." % fd
            prefix = self._union.stack.prefix
            copy_to_entry(source, os.stat(fd), work.fd, temporary, prefix)
            writer.set_opaque(work.fd, temporary, errno.EIO)
            parent_fd = self._union.directory_fd(parent, 0)
            writer.swap(temporary, parent_fd, directory.name)
        finally:
            work.discard(temporary)
        self._union.descriptors.drop(directory, 0)
