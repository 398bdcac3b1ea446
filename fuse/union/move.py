"""One object on its way from one name of the upper to another, with its marks.

A directory that moves keeps its lowers by the ``redirect`` mark (``ovl_set_redirect``
in ``fs/overlayfs/dir.c``), or is made opaque where the lowers of the new place would
merge with it.
"""

from __future__ import annotations

import errno
import os

from snapfs.fuse.union.node import METACOPY, Directory, Node
from snapfs.fuse.union.writer import Writer
from snapfs.light_typing import TYPE_CHECKING, Final
from snapfs.overlay_format import REDIRECT
from snapfs.overlay_marks import Marks, path_of
from snapfs.syscalls import (
    RENAME_EXCHANGE,
    RENAME_NOREPLACE,
    RENAME_WHITEOUT,
    renameat2,
)

if TYPE_CHECKING:
    from snapfs.fuse.union.union import Union

REDIRECT_MAX: Final = 256
"""The longest absolute redirect that the kernel writes (``redirect_max``)."""


class Move:
    """One object on its way from one name to another."""

    __slots__ = (
        "_union",
        "_writer",
        "new_name",
        "new_parent",
        "node",
        "old_name",
        "old_parent",
        "target",
    )

    def __init__(
        self,
        writer: Writer,
        node: Node,
        old: tuple[Directory, bytes],
        new: tuple[Directory, bytes],
    ) -> None:
        self._writer = writer
        self._union = writer.union
        self.node = node
        self.old_parent, self.old_name = old
        self.new_parent, self.new_name = new
        self.target: Node | None = None

    @property
    def old_fd(self) -> int:
        """The upper's directory that has the old name."""
        return self._union.directory_fd(self.old_parent, 0)

    @property
    def new_fd(self) -> int:
        """The upper's directory that has the new name."""
        return self._union.directory_fd(self.new_parent, 0)

    def prepare(self, is_origin_moved: bool) -> None:
        """Have the object in the upper, marked so that it can be moved.

        The marks say what is so already: a crash after them changes nothing.

        Raises:
            OSError: EXDEV, a redirect cannot be written; or from the filesystems.
        """
        writer = self._writer
        node = self.node
        writer.upper_fd(self.new_parent)
        is_copied = node.layer != 0
        if is_copied or node.flags & METACOPY:
            # What has its data below under its own name could not be found again.
            writer.copy_up.copy_up(node)
        if (is_copied or is_origin_moved) and self.new_parent is not self.old_parent:
            writer.copy_up.marks.set_impure(self.new_parent)
        if not isinstance(node, Directory):
            return
        if node.lowers:
            self._set_redirect()
        elif self.new_parent.lowers:
            writer.set_opaque(self.old_fd, self.old_name, errno.EXDEV)

    def _set_redirect(self) -> None:
        """Write where the lowers have the directory (``ovl_set_redirect``)."""
        path = path_of(self.old_fd, self.old_name)
        prefix = self._union.stack.prefix
        known = Marks(path, prefix).redirect()
        is_same = self.new_parent is self.old_parent
        if known is not None and (is_same or known[:1] == b"/"):
            return
        name = known or self.old_name
        if is_same:
            redirect = name
        else:
            redirect = union_path(self._union, self.old_parent) + b"/" + name
            if len(redirect) > REDIRECT_MAX:
                raise os_error(errno.EXDEV, self.old_name)
        try:
            self._writer.set_mark(self.old_fd, self.old_name, REDIRECT, redirect)
        except OSError as error:
            # As the kernel: the caller falls back to copying the tree.
            raise os_error(errno.EXDEV, self.old_name) from error

    def perform(self, *, is_covered: bool) -> None:
        """Rename; a whiteout takes the old name if a lower has it too.

        Raises:
            OSError: From the filesystem.
        """
        old_fd, new_fd = self.old_fd, self.new_fd
        old, new = self.old_name, self.new_name
        if not is_covered:
            os.rename(old, new, src_dir_fd=old_fd, dst_dir_fd=new_fd)
            return
        flags = RENAME_WHITEOUT
        try:
            renameat2(old, new, flags, old_dir_fd=old_fd, new_dir_fd=new_fd)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
        else:
            return
        # A filesystem without it: the lower entry shows between the two.
        os.rename(old, new, src_dir_fd=old_fd, dst_dir_fd=new_fd)
        self._writer.work.whiteout(old_fd, old)

    def perform_new(self, *, is_covered: bool) -> bool:
        """Rename likewise if the upper has nothing of the new name; else return False.

        False as well where the filesystem cannot tell.

        Raises:
            OSError: From the filesystem.
        """
        flags = RENAME_NOREPLACE | RENAME_WHITEOUT if is_covered else RENAME_NOREPLACE
        new_fd = self.new_fd
        old_fd = new_fd if self.old_parent is self.new_parent else self.old_fd
        old, new = self.old_name, self.new_name
        try:
            renameat2(old, new, flags, old_dir_fd=old_fd, new_dir_fd=new_fd)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.EINVAL):
                raise
            return False
        return True

    def swap(self) -> None:
        """Exchange the two entries of the upper.

        Raises:
            OSError: From the filesystem; EINVAL, it cannot.
        """
        old_fd, new_fd = self.old_fd, self.new_fd
        renameat2(
            self.old_name,
            self.new_name,
            RENAME_EXCHANGE,
            old_dir_fd=old_fd,
            new_dir_fd=new_fd,
        )

    def note(self) -> None:
        """Have the new name lead to the node."""
        union = self._union
        node = self.node
        if isinstance(node, Directory):
            union.fix_lower_paths(node)
        old_parent, new_parent = self.old_parent, self.new_parent
        if old_parent.children.get(self.old_name) is node:
            union.entry_removed(old_parent, self.old_name)
        union.nodes.move(node, old_parent, self.old_name, new_parent, self.new_name)
        union.entry_added(new_parent, self.new_name, node)
        if isinstance(node, Directory):
            union.entry_changed(node)  # its ".." is another


def union_path(union: Union, directory: Directory) -> bytes:
    """Return where the lowers have ``directory``, as a redirect says it.

    Made of the names that the layers below the upper know (``ovl_get_redirect``); empty
    for the root. Not where it is now: its ancestors may have moved.

    Raises:
        OSError: From reading the ancestors' marks.
    """
    names: list[bytes] = []
    current = directory
    while current.parent is not None:
        redirect = None
        if current.has_upper:
            path = path_of(union.directory_fd(current, 0), b".")
            redirect = Marks(path, union.stack.prefix).redirect()
        if redirect is not None and redirect[:1] == b"/":
            return b"/".join([redirect, *reversed(names)])
        names.append(redirect or current.name)
        current = current.parent
    return b"".join(b"/" + name for name in reversed(names))


def os_error(code: int, name: bytes) -> OSError:
    """Return the error of a code, with the name that it is about."""
    return OSError(code, os.strerror(code), name)
