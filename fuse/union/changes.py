"""All that changes the tree, as one object for the file system operations.

Every change is in the upper when its method returns, and errors are those of kernel
overlayfs. The methods are for the session's thread; what takes long is split
(:meth:`CopyUp.begin`, :meth:`Data.duplicate`, :meth:`Data.sync_job`).
"""

from __future__ import annotations

import errno
import os

from snapfs.fuse.union.attributes import Attributes
from snapfs.fuse.union.budget import Budget
from snapfs.fuse.union.create import Creator
from snapfs.fuse.union.data import DEFAULT_LIMIT, Data
from snapfs.fuse.union.links import Linker
from snapfs.fuse.union.node import PINNED, REMOVED, Node
from snapfs.fuse.union.notes import Notes
from snapfs.fuse.union.remove import Remover
from snapfs.fuse.union.rename import Renamer
from snapfs.fuse.union.set_xattrs import XattrSetter
from snapfs.fuse.union.workdir import WorkDirectory, pinned_name
from snapfs.fuse.union.writer import Writer
from snapfs.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snapfs.fuse.union.union import Union


class Changes:
    """Changes a union's tree.

    Attributes:
        data: Reads and writes contents; works without an upper too.
        notes: Takes note of what another process has changed.
        copy_up: Copies to the upper; only where there is a work directory.

    Args:
        union: The tree. Its ``nodes`` tell this object of the nodes that are freed.
        work: The upper's work directory, owned from here on; None for a mount that
            changes nothing, where each method raises EROFS.
        data_limit: How many descriptors of files to keep open, of each sort.
    """

    def __init__(
        self,
        union: Union,
        work: WorkDirectory | None,
        *,
        data_limit: int = DEFAULT_LIMIT,
    ) -> None:
        self._union = union
        self._work = work
        upper, limit = union.stack.upper, union.options.max_bytes
        if limit and work is not None and upper is not None:
            union.budget = Budget(limit, (upper.root_fd, work.fd))
        writer = Writer(union, work)
        self._identity = writer.identity
        self.data = Data(writer, data_limit)
        if work is not None:
            self.copy_up = writer.copy_up
            self.copy_up.on_copied = self.data.node_copied
            self.copy_up.on_open = self.data.keep_writer
        creator = Creator(writer, self.data)
        self.make_node = creator.make_node
        self.make_directory = creator.make_directory
        self.make_symlink = creator.make_symlink
        self.make_unnamed = creator.make_unnamed
        remover = Remover(writer)
        self.remove = remover.remove
        self.remove_directory = remover.remove_directory
        renamer = Renamer(writer, remover)
        self.rename = renamer.rename
        self.refuse_unmovable = renamer.refuse_unmovable
        linker = Linker(writer)
        self.link = linker.link
        self.notes = Notes(writer, remover, linker)
        self.set_attributes = Attributes(writer, self.data).set_attributes
        xattrs = XattrSetter(writer)
        self.set_xattr = xattrs.set_xattr
        self.remove_xattr = xattrs.remove_xattr
        union.nodes.on_drop.append(self._node_dropped)

    def needs_worker(self, node: Node) -> bool:
        """Tell whether a change of ``node`` starts with copying much data.

        Raises:
            OSError: From fstatat(2).
        """
        return self._work is not None and self.copy_up.needs_worker(node)

    def _node_dropped(self, node: Node) -> None:
        self.data.drop(node)
        if node.flags & PINNED and self._work is not None:
            try:
                os.unlink(pinned_name(node.nodeid), dir_fd=self._work.fd)
            except OSError as error:
                if error.errno != errno.ENOENT:
                    raise
            if self._union.budget is not None:
                self._union.budget.note_freed()
        elif node.flags & REMOVED:
            self._union.removed_statuses.pop(node.nodeid, None)

    def close(self) -> None:
        """Close descriptors, clean the work directory and release it."""
        self.data.close()
        self._identity.close()
        if self._work is not None:
            self._work.close()
