"""Copy-up: an object of a lower layer comes to be in the upper before its change.

The upper shows the whole copy or none at all: it is made without a name, or in the
work directory, synced, and then linked or renamed to where it belongs. Parents come
first, each on its own.

A large file's data is copied without the session's lock, in three steps:
:meth:`CopyUp.begin` under the lock, then ``copy`` of what it returns without, and
``publish`` under it again, which looks at where the node is by then.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

from snapfs.file_syscalls import link_descriptor
from snapfs.fuse.union import copy_metadata
from snapfs.fuse.union.file_copy import (
    Copy,
    FileCopy,
    MetacopyCompletion,
    copy_directory,
    copy_special,
)
from snapfs.fuse.union.file_data import FileCopier, Settler, never
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
from snapfs.fuse.union.origin import OriginMarks
from snapfs.fuse.union.workdir import WorkDirectory, pinned_name, rename_new
from snapfs.light_typing import TYPE_CHECKING, Final
from snapfs.overlay_format import METACOPY as METACOPY_MARK

if TYPE_CHECKING:
    from snapfs.fuse.union.union import Union

LARGE_FILE: Final = 1 << 20
"""From here on a copy takes so long that other requests must not wait for it."""

_REGULAR: Final = stat.S_IFREG


class CopyUp:
    """Copies objects of a union's lowers to its upper.

    Attributes:
        work: Where copies are made.
        prefix: Where the marks are.
        marks: What tells where copies come from.
        settler: Has copies on the disk before they have a name.
        metacopy_mark: The name of the mark of files that have attributes alone.
        opens_to_change: Whether a copy is open as a file that is changed is to be.
        copied: How many objects were copied up.
        copied_bytes: How much data that was.
        on_copied: Called with each node that is in the upper from now on; descriptors
            of the lower file are of no more use.
        on_open: Called after that with a file and a descriptor to change it, which it
            has to close.
        on_parted: Called before that with each node whose lower file has other names:
            the copy is a file of its own, with another ``st_ino`` and ``st_nlink``.
    """

    def __init__(self, union: Union, work: WorkDirectory) -> None:
        self._union = union
        self.work = work
        self.prefix = union.stack.prefix
        self._copier = FileCopier()
        self.marks = OriginMarks(union)
        upper = union.stack.upper
        assert upper is not None
        self.metacopy_mark = self.prefix.attribute(METACOPY_MARK)
        # Reading is to set no access time. As with new files: not on a server.
        self.opens_to_change = not upper.is_remote
        self._flags = os.O_NOATIME if self.opens_to_change else 0
        self.settler = Settler(upper, is_volatile=union.options.is_volatile)
        self._own_ids = (os.geteuid(), os.getegid())
        self.copied = 0
        self.copied_bytes = 0
        self.on_copied: Callable[[Node], None] = _nothing
        self.on_parted: Callable[[Node], None] = _nothing
        self.on_open: Callable[[Node, int], None] = _close

    # What callers use.

    def copy_up(self, node: Node, *, truncate_to: int | None = None) -> None:
        """Have ``node`` in the upper, its parents first; a no-op where it is.

        Args:
            node: Of any kind. One that was unlinked is copied to the work directory.
            truncate_to: Copy only so much data of a regular file; the size is still
                to be set by the caller, who is about to truncate it.

        Raises:
            OSError: ENOTDIR, it was a directory and is removed; ENOSPC, EDQUOT, EROFS,
                EIO ... from the filesystems. Then the upper is as it was.
        """
        if node.layer == 0 and not node.flags & METACOPY:
            return
        if node.kind == _REGULAR:
            copy = self.begin(node, truncate_to=truncate_to)
            if copy is not None:
                try:
                    copy.copy(never)
                    self.publish_copy(node, copy)
                finally:
                    copy.abandon()
        elif isinstance(node, Directory):
            self.copy_up_directory(node)
        else:
            copy_special(self, self._union, node)

    def copy_up_directory(self, directory: Directory) -> None:
        """Have ``directory`` and all above it in the upper.

        Raises:
            OSError: ENOTDIR, it is removed; else as :meth:`copy_up`.
        """
        if directory.flags & REMOVED:
            # Overlayfs means to put the copy where the directory was, over a whiteout.
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        chain = []
        current: Directory | None = directory
        while current is not None and not current.has_upper:
            chain.append(current)
            current = current.parent
        for missing in reversed(chain):
            copy_directory(self, self._union, missing)

    def needs_worker(self, node: Node) -> bool:
        """Tell whether a change of ``node``'s data or attributes copies much first.

        Raises:
            OSError: From fstatat(2).
        """
        if node.kind != _REGULAR or (node.layer == 0 and not node.flags & METACOPY):
            return False
        fd, name = self._union.place(node)
        status = os.stat(name, dir_fd=fd, follow_symlinks=False)
        return status.st_size >= LARGE_FILE

    def begin(self, node: Node, *, truncate_to: int | None = None) -> Copy | None:
        """Start the copy-up of a regular file; None where there is nothing to copy.

        Under the lock. The caller runs the steps of what this returns, or abandons it.
        An upper file of attributes alone (``metacopy``) is given its data.

        Raises:
            OSError: As :meth:`copy_up`.
        """
        if node.layer == 0 and not node.flags & METACOPY:
            return None
        if node.layer and not node.flags & DETACHED:
            assert node.parent is not None
            if not node.parent.has_upper:
                self.copy_up_directory(node.parent)
        if node.layer == 0:
            return MetacopyCompletion(self, self._union, node)
        return FileCopy(self, self._union, node, truncate_to)

    def publish_copy(self, node: Node, copy: Copy) -> None:
        """Have the copy of ``node``, which is made, take the place of its lower file.

        Under the lock.

        Raises:
            OSError: From link(2) or rename(2).
        """
        copy.publish()
        opened = copy.take()
        if opened >= 0:
            self.on_open(node, opened)

    # Publishing.

    def publish(
        self, node: Node, source: int | bytes, *, has_parted: bool = False
    ) -> None:
        """Give a finished copy its place.

        Under the lock. The parent keeps its times: nothing has changed in it.

        Args:
            node: What was copied.
            source: The copy: its descriptor or temporary name.
            has_parted: The lower file has other names, which do not lead to the copy.

        Raises:
            OSError: From link(2) or rename(2).
        """
        own_ino = self._ino_of(source) if has_parted else 0
        if node.flags & DETACHED:
            self._give_name(source, self.work.fd, pinned_name(node.nodeid))
            node.flags |= PINNED
        else:
            parent = node.parent
            assert parent is not None
            if not parent.has_upper:
                self.copy_up_directory(parent)
            if not parent.flags & IMPURE:
                self.marks.set_impure(parent)
            parent_fd = self._union.directory_fd(parent, 0)
            times = os.fstat(parent_fd)
            was = (times.st_atime_ns, times.st_mtime_ns)
            log = self._union.nodes.log
            log.intend(INTEND_TIMES, parent.nodeid, *was)
            self._give_name(source, parent_fd, node.name)
            os.utime(b".", ns=was, dir_fd=parent_fd, follow_symlinks=False)
            log.achieved(INTEND_TIMES)
        if node.flags & METACOPY:
            node.flags &= ~METACOPY
            self._union.data_places.pop(node.nodeid, None)
        node.layer = 0
        if has_parted:
            node.ino = own_ino
        if isinstance(node, Directory):
            node.has_upper = True
        if not node.flags & DETACHED:
            assert node.parent is not None
            # A listing says from which layer on to look a name up.
            self._union.entry_added(node.parent, node.name, node)
        self._union.nodes.changed(node)
        self.copied += 1
        if has_parted:
            self.on_parted(node)
        self.on_copied(node)

    def _ino_of(self, source: int | bytes) -> int:
        if isinstance(source, int):
            status = os.fstat(source)
        else:
            status = os.stat(source, dir_fd=self.work.fd, follow_symlinks=False)
        return self._union.numbers.shown(0, status.st_ino)

    def _give_name(self, source: int | bytes, dir_fd: int, name: bytes) -> None:
        if isinstance(source, int):
            link_descriptor(source, dir_fd, name)
        else:
            rename_new(self.work.fd, source, dir_fd, name)

    # For FileCopy.

    def open_temporary(self) -> tuple[int, bytes | None]:
        """Open a new file that has no name, or a temporary one."""
        return self.work.open_temporary(self._flags)

    def fill(
        self,
        source: int,
        status: os.stat_result,
        target: int,
        size: int,
        is_interrupted: Callable[[], bool],
    ) -> None:
        """Copy data, and count it."""
        budget = self._union.budget
        if budget is None:
            self._copier.copy(source, status, target, size, is_interrupted)
        else:
            occupied = min(size, status.st_blocks * 512)
            with budget.growing(target, 0, occupied):
                self._copier.copy(source, status, target, size, is_interrupted)
        self.copied_bytes += size

    def dress_file(
        self,
        source: int,
        status: os.stat_result,
        names: list[str],
        target: int,
        origin: bytes | None,
    ) -> None:
        """Give the copy of a file owner, attributes (``names``), mode and times."""
        if (status.st_uid, status.st_gid) != self._own_ids:
            copy_metadata.copy_owner(target, status)
        if names:
            copy_metadata.copy_xattrs(source, target, self.prefix, names)
        if origin is not None:
            self.marks.set_origin(target, origin)
        os.fchmod(target, stat.S_IMODE(status.st_mode))
        copy_metadata.copy_flags(source, target)
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))

    def discard(self, name: bytes) -> None:
        """Remove a temporary object."""
        self.work.discard(name)

    def completed(self, node: Node, fd: int) -> None:
        """Take the mark off an upper file that has got its data."""
        os.removexattr(fd, self.metacopy_mark)
        node.flags &= ~METACOPY
        self._union.data_places.pop(node.nodeid, None)
        self._union.nodes.changed(node)
        self.on_copied(node)


def _nothing(_node: Node) -> None:
    return


def _close(_node: Node, fd: int) -> None:
    os.close(fd)
