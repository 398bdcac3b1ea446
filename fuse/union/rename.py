"""rename(2): also of directories that lower layers have, by a redirect.

The rules are those of ``ovl_rename`` (``fs/overlayfs/dir.c``): what is renamed is in
the upper first; a lower entry of the old name is covered by a whiteout in the same
moment; how a directory keeps its lowers says :mod:`snapfs.fuse.union.move`.
"""

from __future__ import annotations

import errno
import os

from snapfs.fuse.union.lookup import is_hidden_in_upper
from snapfs.fuse.union.move import Move, os_error
from snapfs.fuse.union.no_log import INTEND_EXCHANGE
from snapfs.fuse.union.node import IMPURE, Directory, Node
from snapfs.fuse.union.remove import Remover
from snapfs.fuse.union.workdir import pinned_name
from snapfs.fuse.union.writer import Writer, is_directory
from snapfs.light_typing import Final
from snapfs.overlay_format import is_whiteout
from snapfs.overlay_marks import stat_entry
from snapfs.syscalls import RENAME_EXCHANGE, RENAME_NOREPLACE

_NOT_EMPTY: Final = frozenset((errno.ENOTEMPTY, errno.EEXIST))


class Renamer:
    """Moves names."""

    __slots__ = ("_remover", "_union", "_writer")

    def __init__(self, writer: Writer, remover: Remover) -> None:
        self._writer = writer
        self._union = writer.union
        self._remover = remover

    def rename(
        self,
        old_parent: Directory,
        old_name: bytes,
        new_parent: Directory,
        new_name: bytes,
        flags: int = 0,
        unique: int = 0,
    ) -> Node:
        """Rename, with ``RENAME_NOREPLACE`` or ``RENAME_EXCHANGE``; return the node.

        A node that had the new name has lost it. ``unique``: of the request.

        Raises:
            OSError: EINVAL, other flags; EXDEV, a directory of a lower layer and
                redirects are not written, or are too long; EEXIST, ENOENT, ENOTEMPTY,
                EISDIR, ENOTDIR, EROFS; or from the filesystems.
        """
        if flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE):
            raise os_error(errno.EINVAL, old_name)
        writer = self._writer
        writer.upper_fd(old_parent)  # before all else: EROFS, ENOENT
        node = writer.lookup(old_parent, old_name)
        move = Move(writer, node, (old_parent, old_name), (new_parent, new_name))
        union = self._union
        move.target = new_parent.children.get(new_name)
        if move.target is None and not union.is_known_free(new_parent, new_name):
            move.target = union.lookup(new_parent, new_name)
        if flags & RENAME_EXCHANGE:
            self._exchange(move, unique)
            return node
        if move.target is not None:
            if flags & RENAME_NOREPLACE:
                raise os_error(errno.EEXIST, new_name)
            if move.target is node:
                return node  # two names of one file: rename(2) does nothing
            _refuse_other_kind(node, move.target)
        self.refuse_unmovable(node)
        if isinstance(move.target, Directory):
            self._remover.refuse_entries(move.target)
        self._replace(move)
        return node

    # Checks.

    def refuse_unmovable(self, node: Node) -> None:
        """Refuse a directory that only a redirect could move (``ovl_can_move``).

        Raises:
            OSError: EXDEV.
        """
        if (
            isinstance(node, Directory)
            and node.lowers
            and not self._union.options.write_redirects
        ):
            raise os_error(errno.EXDEV, node.name)

    # Over nothing, a file or an empty directory.

    def _replace(self, move: Move) -> None:
        target = move.target
        status = None
        if isinstance(target, Directory):
            status = self._remover.status_before(target)
        # A file of a lower, under its first name: the lower has that, for sure.
        node, old = move.node, (move.old_parent, move.old_name)
        is_lower = bool(node.layer) and (node.parent, node.name) == old
        move.prepare(self._is_origin_moved(node, move.old_parent))
        is_pinned = self._move(move, is_lower=is_lower)
        if isinstance(target, Directory):
            self._remover.directory_lost(target, move.new_parent, move.new_name, status)
        elif target is not None:
            self._writer.name_lost(
                target, move.new_parent, move.new_name, is_pinned=is_pinned
            )
        move.note()

    def _is_origin_moved(self, node: Node, old_parent: Directory) -> bool:
        return bool(old_parent.flags & IMPURE) or isinstance(node, Directory)

    def _move(self, move: Move, *, is_lower: bool) -> bool:
        """Move in the upper; tell whether the file that was there is pinned."""
        writer = self._writer
        is_covered = is_lower or (
            bool(move.old_parent.lowers)
            and writer.is_in_lowers(move.old_parent, move.old_name)
        )
        target = move.target
        new_fd = move.new_fd
        if target is not None and target.layer == 0:
            if isinstance(target, Directory):
                self._move_over_directory(move, target, is_covered=is_covered)
                return False
            is_pinned = writer.must_pin(target) and writer.pin_link(
                target, new_fd, move.new_name
            )
            try:
                move.perform(is_covered=is_covered)
            except BaseException:
                if is_pinned:
                    writer.work.discard(pinned_name(target.nodeid))
                raise
            return is_pinned
        if not move.new_parent.lowers:
            move.perform(is_covered=is_covered)
        elif move.perform_new(is_covered=is_covered):
            pass  # nothing was there, as a rule
        elif self._is_whiteout(new_fd, move.new_name):
            # Of the other form it would show where it goes.
            self._make_plain(new_fd, move.new_name)
            self._move_over_whiteout(move, is_covered=is_covered)
        else:
            move.perform(is_covered=is_covered)
        return False

    def _make_plain(self, dir_fd: int, name: bytes) -> None:
        """Have a whiteout be one of the form that the kernel makes."""
        if not is_whiteout(os.stat(name, dir_fd=dir_fd, follow_symlinks=False)):
            self._writer.cover(dir_fd, name)

    def _is_whiteout(self, dir_fd: int, name: bytes) -> bool:
        status = stat_entry(dir_fd, name)
        return status is not None and is_hidden_in_upper(
            dir_fd, name, status, self._union
        )

    def _move_over_directory(
        self, move: Move, target: Directory, *, is_covered: bool
    ) -> None:
        try:
            move.perform(is_covered=is_covered)
        except OSError as error:
            if error.errno not in _NOT_EMPTY:
                raise
            self._remover.empty_upper(target)
            move.perform(is_covered=is_covered)

    def _move_over_whiteout(self, move: Move, *, is_covered: bool) -> None:
        """Move to where the upper has a whiteout, which may serve the old name."""
        if is_covered:
            move.swap()
        elif is_directory(move.node):
            move.swap()
            os.unlink(move.old_name, dir_fd=move.old_fd)
        else:
            move.perform(is_covered=False)

    # RENAME_EXCHANGE.

    def _exchange(self, move: Move, unique: int) -> None:
        other = move.target
        if other is None:
            raise os_error(errno.ENOENT, move.new_name)
        if other is move.node:
            return
        self.refuse_unmovable(move.node)
        self.refuse_unmovable(other)
        back = Move(
            self._writer,
            other,
            (move.new_parent, move.new_name),
            (move.old_parent, move.old_name),
        )
        move.prepare(self._is_origin_moved(move.node, move.old_parent))
        back.prepare(self._is_origin_moved(other, move.new_parent))
        ino = os.stat(move.old_name, dir_fd=move.old_fd, follow_symlinks=False).st_ino
        nodeids = (move.node.nodeid, other.nodeid)
        self._union.nodes.log.intend(INTEND_EXCHANGE, unique, ino, *nodeids)
        move.swap()
        move.note()
        back.note()


def _refuse_other_kind(node: Node, target: Node) -> None:
    if is_directory(node) and not is_directory(target):
        raise os_error(errno.ENOTDIR, target.name)
    if is_directory(target) and not is_directory(node):
        raise os_error(errno.EISDIR, target.name)
