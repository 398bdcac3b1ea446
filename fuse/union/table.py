"""The nodes of a mount: found by number, freed when the kernel forgets them.

A directory's node stays as long as one of its children has a node, also where the
kernel forgot the directory first: the children are reached through it.

Whatever changes is told to :attr:`NodeTable.log`, from which another process can make
the same table (:mod:`snapfs.fuse.recovery`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from snapfs.fuse.union.listing import Entry
from snapfs.fuse.union.no_log import NO_LOG, NoLog
from snapfs.fuse.union.node import ALIASED, COMPLETE, DETACHED, ROOT_ID, Directory, Node
from snapfs.light_typing import Final

_SHRINK_AT: Final = 4
_SMALL: Final = 4096
_KINDS: Final = {kind >> 12: kind for kind in range(0, 1 << 16, 1 << 12)}
"""Modes by ``d_type``: one object for each kind, not one for each node."""


class NodeTable:
    """Nodes by number, and the names that lead to them.

    Attributes:
        get: Returns the node of a number, or None: it was forgotten, or never was.
        by_upper_inode: Nodes of upper files that have several names, by ``st_ino``
            in the upper: each of the names leads to the same node.
        aliases: The further names of a node, beside its ``parent`` and ``name``.
        on_drop: Called with each node that is freed, while it still has its parent
            and name; whoever keeps something for a node drops it there.
        former: Numbers that nodes had before (:meth:`renumber`), with the references
            that the kernel holds by them; part of the nodes' own count.
        on_former_dropped: Called with each of these that the kernel has forgotten.
        log: Is told of every change.
    """

    __slots__ = (
        "_by_id",
        "_next",
        "_peak",
        "_upper_inos",
        "aliases",
        "by_upper_inode",
        "former",
        "get",
        "log",
        "on_drop",
        "on_former_dropped",
        "root",
    )

    def __init__(self, root: Directory) -> None:
        self.root = root
        self._by_id: dict[int, Node] = {ROOT_ID: root}
        # Nearly every message begins with it: the dict's own, and the dict stays.
        self.get = self._by_id.get
        self._next = ROOT_ID + 1
        self._peak = _SMALL
        self.by_upper_inode: dict[int, Node] = {}
        self.aliases: dict[int, set[tuple[Directory, bytes]]] = {}
        self.on_drop: list[Callable[[Node], None]] = []
        self._upper_inos: dict[int, int] = {}
        self.former: dict[int, int] = {}
        self.on_former_dropped: Callable[[int], None] = _nothing
        self.log: NoLog = NO_LOG

    def __len__(self) -> int:
        """Return how many nodes there are."""
        return len(self._by_id)

    def new_id(self) -> int:
        """Return a number that no node has had."""
        nodeid = self._next
        self._next = nodeid + 1
        return nodeid

    def add(self, node: Node) -> None:
        """Take in a node with a new number, as the child of its parent."""
        by_id = self._by_id
        by_id[node.nodeid] = node
        if len(by_id) > self._peak:
            self._peak = len(by_id)
        if node.parent is not None:
            node.parent.children[node.name] = node
        self.log.node(node)

    def reserve(self, count: int) -> int:
        """Return the first of ``count`` numbers that no nodes have had."""
        first = self._next
        self._next = first + count
        return first

    def add_listed(
        self, parent: Directory, entries: Sequence[Entry], first: int, unique: int
    ) -> None:
        """Make the nodes of what the indexes of lower layers list in ``parent``.

        They are no directories, and no nodes yet. The kernel refers to each of them
        once, by the reply to ``unique``.

        Args:
            parent: The directory.
            entries: Of its listing.
            first: The number of the first; the others have those that follow.
            unique: Of the request for the listing.
        """
        by_id, children, kinds = self._by_id, parent.children, _KINDS
        for nodeid, (_, name, kind, layer, ino) in enumerate(entries, first):
            node = Node(nodeid, kinds[kind], parent, name, layer, ino)
            node.lookups = 1
            by_id[nodeid] = children[name] = node
        self._peak = max(self._peak, len(by_id))
        self.log.listed(unique, parent.nodeid, first, entries)

    def changed(self, node: Node) -> None:
        """Note that attributes of ``node`` were changed from outside."""
        self.log.node(node)

    def add_unnamed(self, node: Node) -> None:
        """Take in a node that no name leads to (``O_TMPFILE``)."""
        node.flags |= DETACHED
        self._by_id[node.nodeid] = node
        self.log.node(node)

    def reference(self, node: Node, unique: int = 0) -> None:
        """Count one more reference of the kernel, by the reply to ``unique``."""
        node.lookups += 1
        self.log.referenced(unique, node.nodeid)

    def forget(self, nodeid: int, count: int) -> None:
        """Take back ``count`` references; free the node when none is left."""
        node = self._by_id.get(nodeid)
        if node is None or nodeid == ROOT_ID:
            return
        if nodeid != node.nodeid:
            self._forget_former(nodeid, count)
        node.lookups -= count
        if node.lookups <= 0:
            node.lookups = 0
            self.release(node)

    def renumber(self, node: Node) -> None:
        """Give ``node`` a new number; the old one leads to it until it is forgotten.

        For a kernel that has the old content of a file open under the old number.
        """
        former = node.nodeid
        node.nodeid = nodeid = self.new_id()
        self._by_id[nodeid] = node
        self.former[former] = node.lookups
        if former in self.aliases:
            self.aliases[nodeid] = self.aliases.pop(former)
        if former in self._upper_inos:
            self._upper_inos[nodeid] = self._upper_inos.pop(former)
        self.log.renumbered(former, nodeid, node.lookups)
        self.log.node(node)

    def _forget_former(self, nodeid: int, count: int) -> None:
        left = self.former.pop(nodeid, 0) - count
        if left > 0:
            self.former[nodeid] = left
            return
        del self._by_id[nodeid]
        self.on_former_dropped(nodeid)

    def release(self, node: Node) -> None:
        """Free ``node`` and the parents it held, as far as nothing refers to them."""
        current: Node | None = node
        while current is not None and self._is_free(current):
            for drop in self.on_drop:
                drop(current)
            parent = current.parent
            self._unname(current)
            del self._by_id[current.nodeid]
            current = parent
        if len(self._by_id) * _SHRINK_AT < self._peak > _SMALL:
            # A dict keeps its size when entries go; one that is filled anew does not.
            kept = dict(self._by_id)
            self._by_id.clear()
            self._by_id.update(kept)
            self._peak = max(len(self._by_id), _SMALL)

    def _is_free(self, node: Node) -> bool:
        if node.lookups or node.nodeid not in self._by_id or node.nodeid == ROOT_ID:
            return False
        return not (isinstance(node, Directory) and node.children)

    def _unname(self, node: Node) -> None:
        if node.flags & ALIASED:
            self._drop_aliases(node)
        parent = node.parent
        if parent is not None and parent.children.get(node.name) is node:
            del parent.children[node.name]
            parent.flags &= ~COMPLETE  # the name is there, and has no node

    def _drop_aliases(self, node: Node) -> None:
        for directory, name in self.aliases.pop(node.nodeid, ()):
            if directory.children.get(name) is node:
                del directory.children[name]
                directory.flags &= ~COMPLETE
                self.release(directory)
        ino = self._upper_inos.pop(node.nodeid, None)
        if ino is not None and self.by_upper_inode.get(ino) is node:
            del self.by_upper_inode[ino]

    def alias(self, node: Node, parent: Directory, name: bytes) -> None:
        """Have one more name lead to ``node``."""
        if node.flags & DETACHED:
            node.flags &= ~DETACHED
            node.parent, node.name = parent, name
            self.log.node(node)
        elif node.parent is not parent or node.name != name:
            node.flags |= ALIASED
            self.aliases.setdefault(node.nodeid, set()).add((parent, name))
            self.log.alias(node, parent, name)
        parent.children[name] = node

    def share(self, node: Node, upper_ino: int) -> None:
        """Have other names of an upper inode lead to ``node``, when looked up."""
        node.flags |= ALIASED
        self.by_upper_inode[upper_ino] = node
        self._upper_inos[node.nodeid] = upper_ino
        self.log.shared(node, upper_ino)

    def detach(self, node: Node, parent: Directory, name: bytes) -> None:
        """Take the name ``parent``/``name`` away from ``node``.

        Another of its names becomes the first. Without one the node is ``DETACHED``:
        it keeps ``parent`` and ``name`` as a memory, and lives until it is forgotten;
        call :meth:`release` when the kernel may hold no reference.
        """
        if parent.children.get(name) is node:
            del parent.children[name]
        others = self.aliases.get(node.nodeid)
        if others is not None:
            others.discard((parent, name))
        if node.parent is not parent or node.name != name:
            self.log.unalias(node, parent, name)
            return
        if others:
            node.parent, node.name = others.pop()
            self.log.unalias(node, node.parent, node.name)
        else:
            node.flags |= DETACHED
        self.log.node(node)

    def move(
        self,
        node: Node,
        old_parent: Directory,
        old_name: bytes,
        new_parent: Directory,
        new_name: bytes,
    ) -> None:
        """Have the name that led to ``node`` be another; nothing else may be there."""
        if old_parent.children.get(old_name) is node:
            del old_parent.children[old_name]
        if node.parent is old_parent and node.name == old_name:
            node.parent, node.name = new_parent, new_name
            self.log.node(node)
        else:
            others = self.aliases.setdefault(node.nodeid, set())
            others.discard((old_parent, old_name))
            others.add((new_parent, new_name))
            self.log.unalias(node, old_parent, old_name)
            self.log.alias(node, new_parent, new_name)
        new_parent.children[new_name] = node

    # For a server that takes a mount over from one that died.

    @property
    def next_id(self) -> int:
        """The number that the next new node gets."""
        return self._next

    def continue_from(self, next_id: int) -> None:
        """Give no new node a number below ``next_id``."""
        self._next = max(self._next, next_id)

    def all(self) -> list[Node]:
        """Return every node once."""
        return [node for nodeid, node in self._by_id.items() if nodeid == node.nodeid]

    def upper_ino(self, node: Node) -> int | None:
        """Return the number under which names of an upper inode are shared."""
        return self._upper_inos.get(node.nodeid)

    def put_back(self, node: Node, formers: dict[int, int]) -> None:
        """Take in a node that was in a table before; nothing is told to the log.

        Args:
            node: With its parent, which may be put back later.
            formers: The numbers that the kernel still holds beside the node's own,
                with the references by each.
        """
        self._by_id[node.nodeid] = node
        for nodeid, count in formers.items():
            self._by_id[nodeid] = node
            self.former[nodeid] = count
        self._peak = max(self._peak, len(self._by_id))
        if node.parent is not None and not node.flags & DETACHED:
            node.parent.children[node.name] = node


def _nothing(_nodeid: int) -> None:
    return
