"""What all changes of the tree share: the upper's side of a directory."""

from __future__ import annotations

import errno
import os
import stat

from snapfs.fuse.union.copy_up import CopyUp
from snapfs.fuse.union.identity import Identity
from snapfs.fuse.union.lookup import is_hidden
from snapfs.fuse.union.node import (
    ALIASED,
    DETACHED,
    PINNED,
    REMOVED,
    Directory,
    Node,
)
from snapfs.fuse.union.workdir import WorkDirectory, exchange, pinned_name
from snapfs.light_typing import TYPE_CHECKING, Final
from snapfs.overlay_format import OPAQUE
from snapfs.overlay_marks import stat_entry

if TYPE_CHECKING:
    from snapfs.fuse.union.union import Union

# A filesystem that cannot exchange says the first; one without links, the others.
_NO_EXCHANGE: Final = errno.EINVAL
_NO_LINK: Final = frozenset((errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP))


class Writer:
    """The parts that changes are made with, and the steps that they share."""

    __slots__ = ("copy_up", "identity", "is_readonly", "union", "work")

    def __init__(self, union: Union, work: WorkDirectory | None) -> None:
        self.union = union
        self.is_readonly = (
            union.options.is_readonly or work is None or union.stack.upper is None
        )
        self.identity = Identity()
        if work is not None:
            self.work = work
            self.copy_up = CopyUp(union, work)

    def upper_fd(self, directory: Directory) -> int:
        """Return a descriptor of ``directory`` in the upper, copied up if need be.

        Every change comes through here.

        Raises:
            OSError: EROFS, nothing can be changed; ENOENT, it was removed; or from
                copying it up.
        """
        if self.is_readonly:
            raise read_only()
        if directory.flags & REMOVED:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        if not directory.has_upper:
            self.copy_up.copy_up_directory(directory)
        return self.union.directory_fd(directory, 0)

    def change(self, node: Node) -> None:
        """Have ``node`` in the upper, since it is about to be changed.

        Raises:
            OSError: EROFS; or from copying it up.
        """
        if self.is_readonly:
            raise read_only()
        if node.layer:
            self.copy_up.copy_up(node)

    def note_change(self, node: Node) -> None:
        """Have a directory that was removed show what was changed of it since.

        Raises:
            OSError: From fstatat(2).
        """
        if node.flags & REMOVED:
            fd, name = self.union.place(node)
            status = os.stat(name, dir_fd=fd)
            self.union.removed_statuses[node.nodeid] = status
            self.union.nodes.log.last_status(node.nodeid, status)

    def lookup(self, parent: Directory, name: bytes) -> Node:
        """Return what ``name`` is.

        Raises:
            OSError: ENOENT, it is nothing; or from the layers.
        """
        node = parent.children.get(name) or self.union.lookup(parent, name)
        if node is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return node

    def is_in_lowers(self, parent: Directory, name: bytes) -> bool:
        """Tell whether ``name`` would show if the upper had nothing of it.

        Raises:
            OSError: From fstatat(2).
        """
        for index in parent.lowers:
            fd = self.union.directory_fd(parent, index)
            status = stat_entry(fd, name)
            if status is not None:
                layer = self.union.stack.layers[index]
                return not is_hidden(fd, name, status, layer, self.union)
        return False

    # Taking a name away from a file of the upper.

    def must_pin(self, node: Node) -> bool:
        """Tell whether an upper file that loses a name has to be kept for its users.

        Not if it has another name that we know, or nobody refers to it.
        """
        if node.layer or node.flags & PINNED or not node.lookups:
            return False
        return not (node.flags & ALIASED and self.union.nodes.aliases.get(node.nodeid))

    def cover(self, parent_fd: int, name: bytes) -> None:
        """Put a whiteout in the place of an upper file, which is gone then.

        Raises:
            OSError: From the filesystem; then the file is still there.
        """
        work = self.work
        temporary = work.temporary()
        work.whiteout(work.fd, temporary)
        try:
            os.rename(temporary, name, src_dir_fd=work.fd, dst_dir_fd=parent_fd)
        except BaseException:
            work.discard(temporary)
            raise

    def cover_and_keep(self, parent_fd: int, name: bytes, kept: bytes) -> None:
        """Put a whiteout in the place of an entry, which goes to the work directory.

        Raises:
            OSError: From the filesystem; then the entry is still there.
        """
        work = self.work
        work.whiteout(work.fd, kept)
        try:
            self.swap(kept, parent_fd, name)
        except BaseException:
            work.discard(kept)
            raise

    def swap(self, temporary: bytes, parent_fd: int, name: bytes) -> None:
        """Exchange an object of the work directory for an entry of the upper.

        Raises:
            OSError: From the filesystem; then all is where it was.
        """
        work = self.work
        try:
            exchange(work.fd, temporary, parent_fd, name)
        except OSError as error:
            if error.errno != _NO_EXCHANGE:
                raise
        else:
            return
        # Between these the lower entry shows: such a filesystem has nothing better.
        other = work.temporary()
        os.rename(name, other, src_dir_fd=parent_fd, dst_dir_fd=work.fd)
        os.rename(temporary, name, src_dir_fd=work.fd, dst_dir_fd=parent_fd)
        os.rename(other, temporary, src_dir_fd=work.fd, dst_dir_fd=work.fd)

    def pin_link(self, node: Node, parent_fd: int, name: bytes) -> bool:
        """Give an upper file one more name, in the work directory; tell if it can be.

        Raises:
            OSError: From link(2), but for filesystems without hard links.
        """
        try:
            os.link(
                name,
                pinned_name(node.nodeid),
                src_dir_fd=parent_fd,
                dst_dir_fd=self.work.fd,
                follow_symlinks=False,
            )
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
            return False
        return True

    def name_lost(
        self, node: Node, parent: Directory, name: bytes, *, is_pinned: bool
    ) -> None:
        """Note that ``parent``/``name`` no longer leads to ``node``."""
        if is_pinned:
            node.flags |= PINNED
        if self.union.budget is not None:
            self.union.budget.note_freed()
        nodes = self.union.nodes
        nodes.detach(node, parent, name)
        if node.flags & DETACHED and not node.lookups:
            nodes.release(node)

    def set_opaque(self, dir_fd: int, name: bytes, code: int) -> None:
        """Have a directory of the upper hide the lower ones of its name.

        Raises:
            OSError: ``code``, the filesystem has no attributes; or from setxattr(2).
        """
        try:
            self.set_mark(dir_fd, name, OPAQUE, b"y")
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP:
                raise OSError(code, os.strerror(code), name) from error
            raise

    def set_mark(self, dir_fd: int, name: bytes, mark: str, value: bytes) -> None:
        """Write a mark of overlayfs to an entry.

        Raises:
            OSError: From setxattr(2).
        """
        path = b"/proc/self/fd/%d/%s" % (dir_fd, name)
        attribute = self.union.stack.prefix.attribute(mark)
        os.setxattr(path, attribute, value, follow_symlinks=False)


def read_only() -> OSError:
    """Return the error of a change that nothing allows."""
    return OSError(errno.EROFS, os.strerror(errno.EROFS))


def is_directory(node: Node) -> bool:
    """Tell whether ``node`` is a directory."""
    return node.kind == stat.S_IFDIR
