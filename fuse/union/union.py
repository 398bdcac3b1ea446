"""The layers as one tree: find a name, say where a node is and what it shows.

One object serves a mount. Its methods are for one thread at a time: the session's
lock is held during each (:mod:`snapfs.fuse.session`). What changes the tree is in
:mod:`snapfs.fuse.union.changes`.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import OrderedDict

from snapfs.fuse.union import data_places, reading, xattrs
from snapfs.fuse.union.budget import Budget
from snapfs.fuse.union.descriptors import Descriptors
from snapfs.fuse.union.found_nodes import adopt, root_of, take_in
from snapfs.fuse.union.inode_numbers import InodeNumbers
from snapfs.fuse.union.layers import LayerStack
from snapfs.fuse.union.listing import Entry
from snapfs.fuse.union.listings import ABSENT, Listings, entry_ino
from snapfs.fuse.union.node import (
    COMPLETE,
    DETACHED,
    METACOPY,
    PINNED,
    REMOVED,
    Directory,
    Node,
)
from snapfs.fuse.union.options import Ownership, UnionOptions
from snapfs.fuse.union.search import find
from snapfs.fuse.union.table import NodeTable
from snapfs.fuse.union.workdir import pinned_name
from snapfs.light_typing import Final

__all__ = ["Ownership", "Union", "UnionOptions", "pinned_name"]

_DIRECTORY: Final = stat.S_IFDIR

# No names: the kernel resolves them, and a listing has its own answer for them.
_DOTS: Final = frozenset((b".", b".."))
_NAME_MAX: Final = 255
_WHITEOUTS: Final = 1024
_UNLINKED: Final = DETACHED | PINNED


class Union:
    """The merged tree of a layer stack.

    Attributes:
        stack: The layers; closed with the union.
        options: How it behaves.
        nodes: What is remembered of the tree.
        found_status: What the last :meth:`lookup` that found something saw: the
            status in the layer, whose owner, ``st_ino`` and ``st_nlink`` are not yet
            those to show.
        data_places: Where the data of METACOPY nodes is, by nodeid: a layer and a
            path from its root.
        removed_statuses: The last status of directories that are REMOVED, by nodeid;
            kept by those who remove them.
        whiteouts: Names that the upper had a whiteout of when it was last looked at, by
            the numbers of their directories: some of them.
        uncapped: Which thread took the capabilities of a file away, by the number it
            named; until the next change of the file's attributes.
        open_files: Descriptors of upper files that are kept open, by nodeid; whoever
            opens and closes them keeps them here.
        last_lower: Index of the lowest layer that is merged.
        budget: What the upper may occupy; None for any.
        traps: (device, inode) of the layers' roots, which must not be found within.
    """

    def __init__(self, stack: LayerStack, options: UnionOptions | None = None) -> None:
        self.stack = stack
        self.options = options or UnionOptions(stack.prefix)
        self.descriptors = Descriptors(stack, self.options.descriptor_limit)
        self.directory_fd = self.descriptors.get
        self.holding = self.descriptors.holding
        self.numbers = InodeNumbers(stack, is_xino=self.options.is_xino)
        self.budget: Budget | None = None
        self.data_places: dict[int, tuple[int, bytes]] = {}
        self.removed_statuses: dict[int, os.stat_result] = {}
        self.whiteouts: set[tuple[int, bytes]] = set()
        self.uncapped: dict[int, int] = {}
        self.open_files: OrderedDict[int, int] = OrderedDict()
        self.last_lower = stack.lowers[-1] if stack.lowers else -1
        self.traps = _traps(stack)
        self._tuples: dict[tuple[int, ...], tuple[int, ...]] = {}
        self.listings = Listings(self, self.options.listing_limit)
        self.listing = self.listings.get
        self.nodes = NodeTable(root_of(self))
        self.nodes.on_drop.append(self._node_dropped)
        self.found_status = os.stat(stack.layers[0].root_fd)
        self._nothing: tuple[Directory, bytes] | None = None
        self._seen: tuple[Node, os.stat_result] = (self.nodes.root, self.found_status)

    def shared(self, layers: tuple[int, ...]) -> tuple[int, ...]:
        """Return the one tuple of these layers that all directories use."""
        return self._tuples.setdefault(layers, layers)

    def close(self) -> None:
        """Close all descriptors, the layers' too."""
        self.descriptors.close()
        self.stack.close()

    def _node_dropped(self, node: Node) -> None:
        """Drop what the union keeps of a node that is freed."""
        if node.kind == _DIRECTORY:
            assert isinstance(node, Directory)
            self.descriptors.drop_all(node)
            self.descriptors.release(node)
            self.listings.drop(node.nodeid)
        elif node.flags & METACOPY:
            self.data_places.pop(node.nodeid, None)
        self.uncapped.pop(node.nodeid, None)
        parent = node.parent
        if node.layer == 0 and parent is not None and not node.flags & DETACHED:
            # It may have been copied up since the listing was made.
            self.entry_added(parent, node.name, node)

    # Where things are.

    def place(self, node: Node) -> tuple[int, bytes]:
        """Return (directory descriptor, name) under which ``node`` is now.

        Valid as :meth:`directory_fd` is. A directory that has no name in a layer, the
        root, a removed one or one reached by a redirect, is "." of itself.

        Raises:
            OSError: From opening the directory.
        """
        flags, layer = node.flags, node.layer
        if flags & PINNED:
            work_fd = self.stack.work_fd
            assert work_fd is not None
            return work_fd, pinned_name(node.nodeid)
        parent = node.parent
        if parent is None:
            return self.stack.layers[layer].root_fd, b"."
        # Most are neither in a lower layer nor removed: nothing more to ask of them.
        if (
            (layer or flags & REMOVED)
            and isinstance(node, Directory)
            and (not layer or node.lower_paths is not None)
        ):
            return self.directory_fd(node, layer), b"."
        return self.directory_fd(parent, layer), node.name

    def layer_path(self, directory: Directory, layer: int) -> bytes:
        """Return where a layer has ``directory``: from its root, without a slash."""
        names: list[bytes] = []
        current = directory
        while current.parent is not None:
            if layer and current.lower_paths is not None:
                names.append(current.lower_paths[current.lowers.index(layer)])
                break
            names.append(current.name)
            current = current.parent
        return b"/".join(reversed(names))

    def fix_lower_paths(self, directory: Directory) -> None:
        """Have ``directory`` keep its lowers when it gets another name or parent."""
        if directory.lowers and directory.lower_paths is None:
            directory.lower_paths = tuple(
                self.layer_path(directory, layer) for layer in directory.lowers
            )
            self.nodes.log.lower_paths(directory)

    def open_data(self, node: Node, flags: int) -> int:
        """Open the file that has the data of ``node``; see :mod:`.data_places`."""
        return data_places.open_data(self, node, flags)

    # Names.

    def lookup(self, parent: Directory, name: bytes, start: int = -1) -> Node | None:
        """Return the node of ``name`` in ``parent``, None if nothing is there.

        Sets :attr:`found_status`. Counts no reference of the kernel.

        Args:
            parent: The directory.
            name: One component.
            start: The layer in which a listing saw the name; -1 to search.

        Raises:
            OSError: ENAMETOOLONG; otherwise as :func:`snapfs.fuse.union.lookup.find`.
        """
        node = parent.children.get(name)
        if node is not None:
            self.found_status = status = self._stat(node)
            self._seen = node, status
            return node
        if parent.flags & REMOVED:
            return None
        if len(name) > _NAME_MAX:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), name)
        if parent.flags & COMPLETE:
            return None
        if start < 0 and parent.is_merged:
            start = self.listings.layer_of(parent, name)
        if start == ABSENT or name in _DOTS:
            return None
        found = find(self, parent, name, start)
        if found is None:
            self._nothing = parent, name
            return None
        node = take_in(self, parent, name, found)
        status = found.status
        if node.flags & METACOPY:
            status = reading.with_data_blocks(self, node, status)
        self.found_status = status
        self._seen = node, status
        return node

    def is_known_free(self, parent: Directory, name: bytes) -> bool:
        """Tell whether the last :meth:`lookup` that found nothing was of this name."""
        nothing = self._nothing
        return nothing is not None and nothing[0] is parent and nothing[1] == name

    def adopt(self, parent: Directory, name: bytes, status: os.stat_result) -> Node:
        """Make the node of what was just made in the upper under ``name``.

        Nothing of that name is merged with it; its status is ``status``.
        """
        self.found_status = status
        return adopt(self, parent, name, status)

    def entry_changed(self, directory: Directory) -> None:
        """Forget the listing of a directory whose entries have changed."""
        self.listings.drop(directory.nodeid)

    directory_changed = entry_changed

    def entry_added(self, directory: Directory, name: bytes, node: Node) -> None:
        """Keep the listing of ``directory``: ``name`` is, or now means, ``node``."""
        self._nothing = None
        self.listings.added(directory, name, node.kind, node.layer, node.ino)

    def entry_removed(self, directory: Directory, name: bytes) -> None:
        """Keep the listing of ``directory``: ``name`` is gone from it."""
        self.listings.removed(directory, name)

    def entry_ino(self, directory: Directory, entry: Entry) -> int:
        """Return the ``st_ino`` to show for an entry of the directory's listing.

        Raises:
            OSError: As :meth:`lookup`, where it takes one.
        """
        return entry[4] or entry_ino(self, directory, entry)

    def note_whiteout(self, directory: Directory, name: bytes) -> None:
        """Note that the upper has a whiteout, for who makes something there next."""
        if len(self.whiteouts) >= _WHITEOUTS:
            self.whiteouts.clear()
        self.whiteouts.add((directory.nodeid, name))

    # Attributes.

    def status(self, node: Node) -> tuple[os.stat_result, int, int]:
        """Return (status in the layer, ``st_ino`` to show, ``st_nlink`` to show).

        Raises:
            OSError: From fstatat(2): the layer has changed below, or is gone.
        """
        status = self._stat(node)
        if node.kind != _DIRECTORY and not node.flags & _UNLINKED:
            return status, node.ino, status.st_nlink
        return status, node.ino, self.shown_nlink(node, status)

    def lower_size(self, node: Node) -> int:
        """Return the size of a lower file, which stays what it was when last seen.

        Raises:
            OSError: As :meth:`status`.
        """
        return (self.seen_status(node) or self._stat(node)).st_size

    def seen_status(self, node: Node) -> os.stat_result | None:
        """Return what the last :meth:`lookup` saw, if that was of ``node``."""
        seen, status = self._seen
        return status if seen is node else None

    def shown_nlink(self, node: Node, status: os.stat_result) -> int:
        """Return the ``st_nlink`` of ``node`` to show, for its status in the layer."""
        if node.kind == _DIRECTORY:
            assert isinstance(node, Directory)
            if node.flags & REMOVED:
                return 0
            return 1 if node.is_merged else status.st_nlink
        if node.flags & _UNLINKED:
            # A lower file loses all its names at once: others are files of their own.
            return 0 if node.layer else status.st_nlink - bool(node.flags & PINNED)
        return status.st_nlink

    def _stat(self, node: Node) -> os.stat_result:
        # By a descriptor it takes the kernel a third of the time that a name does.
        opened = self.open_files.get(node.nodeid)
        if opened is not None:
            return os.fstat(opened)
        if node.flags & REMOVED:
            known = self.removed_statuses.get(node.nodeid)
            if known is not None:
                return known
        elif node.kind == _DIRECTORY and not node.layer:
            opened = self.descriptors.in_upper(node)
            if opened is not None:
                return os.fstat(opened)
        fd, name = self.place(node)
        status = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if node.flags & METACOPY:
            return reading.with_data_blocks(self, node, status)
        return status

    def read_link(self, node: Node) -> bytes:
        """Return the target of a symbolic link; see :mod:`.reading`."""
        return reading.read_link(self, node)

    def statfs(self) -> os.statvfs_result:
        """Return the totals of the filesystem; see :mod:`.reading`."""
        return reading.statfs(self)

    def get_xattr(self, node: Node, name: bytes, caller: xattrs.Caller) -> bytes:
        """Return an attribute's value; see :func:`.xattrs.get`."""
        return xattrs.get(self, node, name, caller)

    def list_xattrs(self, node: Node, caller: xattrs.Caller) -> list[bytes]:
        """Return the names of a node's attributes; see :func:`.xattrs.names`."""
        return xattrs.names(self, node, caller)

    def is_plain(self, node: Node) -> bool:
        """Tell whether a node has no attributes; see :func:`.xattrs.is_plain`."""
        return xattrs.is_plain(self, node)

    @property
    def may_have_xattrs(self) -> bool:
        """Whether any file may have an extended attribute, as far as is known."""
        return any(
            layer.has_xattrs and not layer.is_plain for layer in self.stack.layers
        )


def _traps(stack: LayerStack) -> frozenset[tuple[int, int]]:
    traps = {(layer.device, layer.root_ino) for layer in stack.layers}
    if stack.work_fd is not None:
        status = os.stat(stack.work_fd)
        traps.add((status.st_dev, status.st_ino))
    return frozenset(traps)
