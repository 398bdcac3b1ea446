"""The names of one layer in flat arrays, and the table that finds them.

A Python object for each name would cost several hundred bytes; here a name costs 56
in the arrays, its own length, and up to 27 in the table. Nothing is ever moved or
taken out: a name that is replaced stays behind with the flag ``DEAD``, since its
file may live on under other names.

The table is an open-addressing hash table over (parent, name) with linear probing.
Python's hash of bytes is keyed anew in each process, so a layer cannot aim at it.
"""

from __future__ import annotations

from array import array
from typing import Final

from snapfs.layer.extras import NO_XATTRS, Extents, Extras, read_sparse, read_xattrs
from snapfs.layer.kinds import Flag, Kind

NOBODY: Final = 0
"""What a search that finds nothing yields: the root is nobody's child."""

Attributes = tuple[int, int, int, int, int]
"""Mode, owner, group, mtime in ns, offset of the extras."""

NO_ATTRIBUTES: Final[Attributes] = (0, 0, 0, 0, 0)
IMPLIED_ATTRIBUTES: Final[Attributes] = (0o755, 0, 0, 0, 0)

_FIRST_SLOTS: Final = 1 << 10
_GROWTH: Final = 4
_HASH_MASK: Final = 0xFFFFFFFF


class Nodes:
    """All names that a layer has or had; the root is number 0.

    The whiteout of ``x`` is stored under the name ``/x``, which no entry can have:
    so a directory can hold both until it is settled which of them counts.

    Attributes:
        parents: The directory of each name.
        kinds: A :class:`Kind`.
        flags: Of :class:`Flag`.
        modes: Permission bits.
        uids: Owners.
        gids: Groups.
        sizes: Of a file its bytes, of a symlink or a lower link its target's.
        mtimes: In ns since the epoch.
        data: Of a file the offset of its body in the plain tar, of a symlink or a
            lower link the offset of its target in ``texts``, of a device
            ``major << 32 | minor``.
        inodes: The name that the inode was made under; for most the name itself.
        extras: Offset of the record in ``extra``, 0 for none.
        names: All names, one after the other.
        name_ends: Where in ``names`` each of them ends.
        texts: All targets, one after the other.
        extra: Xattrs and sparse maps.
    """

    __slots__ = (
        "_grow_at",
        "_hashes",
        "_mask",
        "data",
        "extra",
        "extras",
        "flags",
        "gids",
        "inodes",
        "kinds",
        "modes",
        "mtimes",
        "name_ends",
        "names",
        "parents",
        "sizes",
        "table",
        "texts",
        "uids",
    )

    def __init__(self) -> None:
        self.parents = array("I")
        self.kinds = array("B")
        self.flags = array("B")
        self.modes = array("H")
        self.uids = array("I")
        self.gids = array("I")
        self.sizes = array("q")
        self.mtimes = array("q")
        self.data = array("Q")
        self.inodes = array("I")
        self.extras = array("I")
        self.names = bytearray()
        self.name_ends = array("I")
        self.texts = bytearray()
        self.extra = Extras()
        self._hashes = array("I")
        self._resize(_FIRST_SLOTS)
        self._hashes.append(0)
        flags = Flag.IMPLIED | Flag.MADE
        self._append(0, b"", Kind.DIRECTORY, flags, IMPLIED_ATTRIBUTES, 0, 0)

    def __len__(self) -> int:
        """Return how many names there are or were, the root included."""
        return len(self.parents)

    @property
    def text_bytes(self) -> int:
        """How much names, targets and extras take."""
        return len(self.names) + len(self.texts) + len(self.extra.data)

    def locate(self, parent: int, name: bytes) -> int:
        """Return the slot of a name, or the free slot where it belongs.

        ``table[slot]`` is then the node or NOBODY. Slots move with the next ``add``.
        """
        key = hash((parent, name)) & _HASH_MASK
        mask = self._mask
        slot = key & mask
        table = self.table
        node = table[slot]
        while node:
            if (
                self._hashes[node] == key
                and self.parents[node] == parent
                and self._is_named(node, name)
            ):
                return slot
            slot = (slot + 1) & mask
            node = table[slot]
        return slot

    def find(self, parent: int, name: bytes) -> int:
        """Return the living node ``name`` in ``parent``, or NOBODY."""
        return self.table[self.locate(parent, name)]

    def _is_named(self, node: int, name: bytes) -> bool:
        start = self.name_ends[node - 1]
        return self.name_ends[node] - start == len(name) and self.names.startswith(
            name, start
        )

    def add(
        self,
        slot: int,
        parent: int,
        name: bytes,
        kind: int,
        flags: int = 0,
        attributes: Attributes = NO_ATTRIBUTES,
        size: int = 0,
        data: int = 0,
    ) -> int:
        """Put a new node into ``slot``, in the place of the one there, if any."""
        node = len(self.parents)
        self.table[slot] = node
        self._hashes.append(hash((parent, name)) & _HASH_MASK)
        self._append(parent, name, kind, flags, attributes, size, data)
        if node >= self._grow_at:
            self._resize(len(self.table) * _GROWTH)
        return node

    def add_new(
        self,
        parent: int,
        name: bytes,
        kind: int,
        flags: int,
        attributes: Attributes,
        size: int,
        data: int,
    ) -> int:
        """Add a node and return it; NOBODY, and nothing is done, if there is one.

        This is ``locate`` and ``add`` in one, for what most entries are.
        """
        key = hash((parent, name)) & _HASH_MASK
        mask = self._mask
        slot = key & mask
        table = self.table
        while node := table[slot]:
            if (
                self._hashes[node] == key
                and self.parents[node] == parent
                and self._is_named(node, name)
            ):
                return NOBODY
            slot = (slot + 1) & mask
        table[slot] = node = len(self.parents)
        self._hashes.append(key)
        self._append(parent, name, kind, flags, attributes, size, data)
        if node >= self._grow_at:
            self._resize(len(table) * _GROWTH)
        return node

    def add_link(self, slot: int, parent: int, name: bytes, target: int) -> int:
        """Put another name of the inode of ``target`` into ``slot``."""
        node = self.add(
            slot,
            parent,
            name,
            self.kinds[target],
            attributes=self.attributes(target),
            size=self.sizes[target],
            data=self.data[target],
        )
        self.inodes[node] = self.inodes[target]
        return node

    def _append(
        self,
        parent: int,
        name: bytes,
        kind: int,
        flags: int,
        attributes: Attributes,
        size: int,
        data: int,
    ) -> None:
        mode, uid, gid, mtime_ns, extras = attributes
        self.inodes.append(len(self.parents))
        self.parents.append(parent)
        self.kinds.append(kind)
        self.flags.append(flags)
        self.names += name
        self.name_ends.append(len(self.names))
        self.modes.append(mode)
        self.uids.append(uid)
        self.gids.append(gid)
        self.mtimes.append(mtime_ns)
        self.extras.append(extras)
        self.sizes.append(size)
        self.data.append(data)

    def _resize(self, slots: int) -> None:
        self.table = table = array("I", bytes(4 * slots))
        self._mask = mask = slots - 1
        self._grow_at = slots * 3 // 5
        flags = self.flags
        for node, key in enumerate(self._hashes):
            if node and not flags[node] & Flag.DEAD:
                slot = key & mask
                while table[slot]:
                    slot = (slot + 1) & mask
                table[slot] = node

    def attributes(self, node: int) -> Attributes:
        """Return what :meth:`set_attributes` or ``add`` has set."""
        return (
            self.modes[node],
            self.uids[node],
            self.gids[node],
            self.mtimes[node],
            self.extras[node],
        )

    def set_attributes(self, node: int, attributes: Attributes) -> None:
        """Give a node the attributes of the entry that names it."""
        (
            self.modes[node],
            self.uids[node],
            self.gids[node],
            self.mtimes[node],
            self.extras[node],
        ) = attributes

    def add_text(self, text: bytes) -> int:
        """Store a target and return its offset, the ``data`` of its node."""
        offset = len(self.texts)
        self.texts += text
        return offset

    def text(self, node: int) -> bytes:
        """Return the target of a symlink or of a lower link."""
        start = self.data[node]
        return bytes(self.texts[start : start + self.sizes[node]])

    def name(self, node: int) -> bytes:
        """Return a node's name; of a whiteout the name that it hides."""
        if not node:
            return b""
        name = bytes(self.names[self.name_ends[node - 1] : self.name_ends[node]])
        return name[1:] if self.kinds[node] == Kind.WHITEOUT else name

    def path(self, node: int) -> bytes:
        """Return the path from the root, without a leading slash."""
        parts = []
        while node:
            parts.append(self.name(node))
            node = self.parents[node]
        return b"/".join(reversed(parts))

    def xattrs(self, node: int) -> dict[bytes, bytes]:
        """Return the extended attributes that the tar gives."""
        offset = self.extras[node]
        return read_xattrs(self.extra.data, offset) if offset else dict(NO_XATTRS)

    def sparse(self, node: int) -> Extents | None:
        """Return the data extents of a sparse file; None: not sparse."""
        offset = self.extras[node]
        return read_sparse(self.extra.data, offset) if offset else None
