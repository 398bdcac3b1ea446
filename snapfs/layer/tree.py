"""The tree of one layer, grown entry by entry; every decision is made on it.

The writer asks :meth:`LayerTree.admit` before it touches the disk and does what the
answer says: so a path is never looked up on the disk, and no symlink is ever followed
there. The rules are those of image-spec layer.md and overlayfs:

- The last entry of a name wins. A directory over a directory takes its attributes;
  anything else replaces what was there, with all below it.
- Whiteouts and opaque marks act on lower layers only, wherever they stand in the tar;
  they are settled at the end (:mod:`snapfs.layer.settle`).
- Symlinks of this layer are followed in memory, within the layer's root.
- A hard link is another name of what its target is at that moment.

Safety rests on nodes: a path that was resolved once is remembered as the node of its
directory, and all of this is forgotten as soon as any name is replaced. (containerd
remembered the paths instead: CVE-2025-47290.)
"""

from __future__ import annotations

from typing import Final

from snapfs.errors import UnsafeLayerError
from snapfs.layer import checks
from snapfs.layer.admission import (
    NO_NODE,
    ROOT,
    Action,
    Admission,
    NodeAttributes,
    Settlement,
)
from snapfs.layer.hard_links import check_link, link_target
from snapfs.layer.index import LayerIndex
from snapfs.layer.index_build import build_index
from snapfs.layer.kinds import Flag, Kind
from snapfs.layer.limits import Limits, Policy
from snapfs.layer.nodes import (
    IMPLIED_ATTRIBUTES,
    Attributes,
    Nodes,
)
from snapfs.layer.paths import (
    AUFS_PREFIX,
    OPAQUE_NAME,
    WHITEOUT_PREFIX,
    has_parent_reference,
    split_path,
)
from snapfs.layer.resolve import KnownDirectories, Place, Resolver
from snapfs.layer.settle import settle
from snapfs.tar.member import NO_XATTRS, Member, MemberKind, shown

_KINDS: Final = {
    kind: None if kind is MemberKind.HARDLINK else Kind[kind.name]
    for kind in MemberKind
}

# What most entries are; a name of an enumeration is looked up at each use.
_MAKE: Final = Action.MAKE
_FILE: Final = MemberKind.FILE
_DIRECTORY: Final = MemberKind.DIRECTORY
_FILE_NODE: Final = int(Kind.FILE)
_DIRECTORY_NODE: Final = int(Kind.DIRECTORY)


class LayerTree:
    """One layer in memory."""

    def __init__(self, limits: Limits, policy: Policy) -> None:
        self.nodes: Final = Nodes()
        self._limits = limits
        self._clamp = policy.clamp
        self._resolver = Resolver(self.nodes, limits)
        self._add_new = self.nodes.add_new
        self._known = KnownDirectories()
        self._budget = checks.Budget(self.nodes, limits)
        self._settlement: Settlement | None = None

    def admit(self, member: Member) -> Admission:
        """Take in the next entry and say what becomes of it on disk.

        Not to be called after :meth:`settle` or :meth:`index`.

        Raises:
            UnsafeLayerError: The entry breaks a rule or a limit. The tree is then of
                no further use.
            UnimplementedError: It is a hard link into the pool of AUFS.
        """
        self._budget.count()
        name = member.name
        head, _, leaf = name.rpartition(b"/")
        if not leaf and head:  # a directory, named with its slash
            head, _, leaf = head.rpartition(b"/")
        directory = self._known.nodes.get(head, NO_NODE)
        if (
            directory == NO_NODE
            or not leaf
            or leaf.startswith((b".wh.", b".."))
            or leaf == b"."
            or b"\0" in leaf
            or len(leaf) > self._limits.component_bytes
            or len(name) > self._limits.path_bytes
        ):
            return self._admit_elsewhere(member)
        kind = member.kind
        if (
            member.xattrs is NO_XATTRS
            and member.sparse is None
            and (kind is _FILE or kind is _DIRECTORY)
        ):
            attributes = (member.mode, member.uid, member.gid, member.mtime_ns, 0)
            if kind is _FILE:
                node = self._add_new(
                    directory,
                    leaf,
                    _FILE_NODE,
                    0,
                    attributes,
                    member.size_bytes,
                    member.data_offset,
                )
            else:
                node = self._add_new(
                    directory, leaf, _DIRECTORY_NODE, Flag.MADE, attributes, 0, 0
                )
            if node:
                return Admission(_MAKE, node, directory, leaf)
        return self._place(member, directory, leaf, ())

    def _admit_elsewhere(self, member: Member) -> Admission:
        """Admit an entry that is special or whose directory is not known yet."""
        parts = self._split(member.name)
        if not parts:
            return self._admit_root(member)
        leaf = parts.pop()
        if any(part.startswith(AUFS_PREFIX) for part in parts):
            return self._nothing()
        if leaf.startswith(WHITEOUT_PREFIX):
            return self._mark(member, parts, leaf)
        place = self._resolver.directory(parts, member.name)
        directory, implied = self._directory(place, member.name)
        if not place.followed:
            self._known.remember(member.name, leaf, directory)
        return self._place(member, directory, leaf, implied)

    def _split(self, name: bytes) -> list[bytes]:
        parts = split_path(name, self._limits, clamp=self._clamp)
        if has_parent_reference(name):
            self.nodes.flags[ROOT] |= Flag.CLAMPED
        return parts

    def _nothing(self) -> Admission:
        return Admission(Action.NOTHING, NO_NODE, ROOT, b"")

    def _admit_root(self, member: Member) -> Admission:
        if _KINDS[member.kind] != Kind.DIRECTORY:
            raise UnsafeLayerError(
                f"entry {shown(member.name)} is the root of the layer, but no directory"
            )
        return self._merge(member, ROOT, ROOT, b"", ())

    def _directory(self, place: Place, name: bytes) -> tuple[int, tuple[int, ...]]:
        """Return the directory at a place, and those to be made on the way."""
        implied = self._resolver.unmade(place.directory)
        implied += self._imply(place)
        for node in implied:
            self.nodes.flags[node] |= Flag.MADE
        return (implied[-1] if place.missing else place.directory), tuple(implied)

    def _imply(self, place: Place) -> list[int]:
        """Add the missing directories of a place; they are not made yet."""
        nodes = self.nodes
        at = place.directory
        added = []
        for part in place.missing:
            self._budget.count()
            at = nodes.add(
                nodes.locate(at, part),
                at,
                part,
                Kind.DIRECTORY,
                Flag.IMPLIED,
                IMPLIED_ATTRIBUTES,
            )
            added.append(at)
        return added

    def _mark(self, member: Member, parts: list[bytes], leaf: bytes) -> Admission:
        """Note a whiteout or an opaque mark; what type it has does not matter."""
        hidden = leaf.removeprefix(WHITEOUT_PREFIX)
        if hidden in (b"", b".", b".."):
            raise UnsafeLayerError(
                f"entry {shown(member.name)} is no whiteout of a name"
            )
        if leaf.startswith(AUFS_PREFIX) and leaf != OPAQUE_NAME:
            return self._nothing()
        nodes = self.nodes
        place = self._resolver.directory(parts, member.name)
        added = self._imply(place)
        directory = added[-1] if added else place.directory
        if leaf == OPAQUE_NAME:
            nodes.flags[directory] |= Flag.OPAQUE
            return self._nothing()
        slot = nodes.locate(directory, b"/" + hidden)
        if not nodes.table[slot]:
            nodes.add(slot, directory, b"/" + hidden, Kind.WHITEOUT)
        return self._nothing()

    def _place(
        self, member: Member, parent: int, leaf: bytes, implied: tuple[int, ...]
    ) -> Admission:
        """Put an entry where it belongs: its directory is there."""
        kind = _KINDS[member.kind]
        if kind is None:
            return self._link(member, parent, leaf, implied)
        nodes = self.nodes
        slot = nodes.locate(parent, leaf)
        old = nodes.table[slot]
        if old and kind is Kind.DIRECTORY and nodes.kinds[old] == Kind.DIRECTORY:
            return self._merge(member, old, parent, leaf, implied)
        flags = 0
        size = data = 0
        if kind is Kind.FILE:
            size, data = member.size_bytes, member.data_offset
        elif kind is Kind.DIRECTORY:
            flags = Flag.MADE
        elif kind is Kind.SYMLINK:
            checks.check_link_target(member, self._limits)
            size, data = len(member.link_name), nodes.add_text(member.link_name)
        elif kind is not Kind.FIFO:
            data = checks.device_number(member, kind)
        replaces = self._replace(old) if old else NO_NODE
        attributes = self._attributes(member)
        node = nodes.add(slot, parent, leaf, kind, flags, attributes, size, data)
        return Admission(Action.MAKE, node, parent, leaf, replaces, implied)

    def _attributes(self, member: Member) -> Attributes:
        extras = 0
        if member.xattrs or member.sparse is not None:
            checks.check_xattrs(member, self._limits)
            extras = self.nodes.extra.add(member.xattrs, member.sparse)
        return (member.mode, member.uid, member.gid, member.mtime_ns, extras)

    def _merge(
        self,
        member: Member,
        node: int,
        parent: int,
        leaf: bytes,
        implied: tuple[int, ...],
    ) -> Admission:
        """Give a directory that is there the attributes of its member."""
        flags = self.nodes.flags
        action = Action.MERGE_DIRECTORY if flags[node] & Flag.MADE else Action.MAKE
        flags[node] = (flags[node] | Flag.MADE) & ~Flag.IMPLIED
        self.nodes.set_attributes(node, self._attributes(member))
        return Admission(action, node, parent, leaf, NO_NODE, implied)

    def _replace(self, old: int) -> int:
        """Take a name away, and what is below it; return it if it is on disk."""
        nodes = self.nodes
        nodes.flags[old] |= Flag.DEAD
        self._known.forget()
        kind = nodes.kinds[old]
        if kind == Kind.LOWER_LINK:
            return NO_NODE
        if kind == Kind.DIRECTORY and not nodes.flags[old] & Flag.MADE:
            return NO_NODE
        return old

    def _link(
        self, member: Member, parent: int, leaf: bytes, implied: tuple[int, ...]
    ) -> Admission:
        """Make another name of a file; attributes of the entry do not count."""
        nodes = self.nodes
        parts = self._split(member.link_name)
        found = link_target(member, parts, self._resolver, nodes)
        slot = nodes.locate(parent, leaf)
        old = nodes.table[slot]
        check_link(member, parent, leaf, found, nodes)
        replaces = self._replace(old) if old else NO_NODE
        if isinstance(found, bytes):
            data = nodes.add_text(found)
            kind = Kind.LOWER_LINK
            node = nodes.add(slot, parent, leaf, kind, size=len(found), data=data)
            return Admission(Action.LINK, node, parent, leaf, replaces, implied)
        node = nodes.add_link(slot, parent, leaf, found)
        target = found if nodes.kinds[found] != Kind.LOWER_LINK else NO_NODE
        return Admission(Action.LINK, node, parent, leaf, replaces, implied, target)

    def settle(self) -> Settlement:
        """Decide what could not be decided before the last member.

        Raises:
            UnsafeLayerError: A link into a lower layer leads to what this layer hides.
        """
        if self._settlement is None:
            self._settlement = settle(self.nodes)
        return self._settlement

    def index(self) -> LayerIndex:
        """Return what the layer changes, settled; see :meth:`settle`."""
        self.settle()
        return build_index(self.nodes)

    def kind_of(self, node: int) -> Kind:
        """Return what a node is."""
        return Kind(self.nodes.kinds[node])

    def parent_of(self, node: int) -> int:
        """Return the directory of a node; the root is its own."""
        return self.nodes.parents[node]

    def name_of(self, node: int) -> bytes:
        """Return the name of a node in its directory; empty for the root."""
        return self.nodes.name(node)

    def path_of(self, node: int) -> bytes:
        """Return the path of a node from the root, without a leading slash."""
        return self.nodes.path(node)

    def attributes_of(self, node: int) -> NodeAttributes:
        """Return what the tar says of a node; the last entry counts."""
        mode, uid, gid, mtime_ns, _ = self.nodes.attributes(node)
        return NodeAttributes(mode, uid, gid, mtime_ns, self.nodes.xattrs(node))
