"""What one layer changes: every name with its attributes, in flat columns.

The index says what the tar says, whatever is allowed to reach a disk. Names are
numbered level by level: the root is 0, the children of a directory lie side by side,
sorted by their bytes, behind the children of all directories with lower numbers. So
a directory is a range of numbers, and a name in it is found by bisection; no table is
needed, and a stored index is ready as soon as it is in memory.

A name costs 58 bytes and its own length.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import compress
from typing import Final, Literal

from snapfs.layer.extras import Extents, read_sparse, read_xattrs
from snapfs.layer.kinds import Flag, Kind

COLUMNS: Final[dict[str, Literal["B", "H", "I", "q", "Q"]]] = {
    "parents": "I",
    "first_children": "I",
    "name_ends": "I",
    "uids": "I",
    "gids": "I",
    "groups": "I",
    "extras": "I",
    "sizes": "q",
    "mtimes": "q",
    "data": "Q",
    "modes": "H",
    "kinds": "B",
    "flags": "B",
}
"""The columns in their order in a file, with the type of each (module ``array``).

``first_children`` has one number more than there are names: the children of ``n`` are
those from ``first_children[n]`` to before ``first_children[n + 1]``.
"""

BLOBS: Final = ("names", "texts", "extra")
"""Runs of bytes: all names, all targets of links, all xattrs and sparse maps."""


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One name of a layer.

    Attributes:
        node: Its number.
        name: The name in its directory; of a whiteout the name that it hides.
        kind: What it is.
        mode: Permission bits.
        uid: The owner.
        gid: The group.
        size_bytes: Of a file, with its holes; of a symlink the length of its target.
        mtime_ns: When it was modified, in ns since the epoch.
        data_offset: Of a file, where its body begins in the plain tar.
        link_target: Of a symlink; of a link into a lower layer the path there.
        device: Major and minor number.
        xattrs: What the tar gives, unfiltered.
        sparse: The data extents of a sparse file; its body is these one after the
            other. None for any other.
        group: Equal for the names of one file, 0 for a file with one name.
        is_implied: A directory that no entry named; its attributes are made up.
        is_opaque: A directory that hides the lower directories of its path.
    """

    node: int
    name: bytes
    kind: Kind
    mode: int
    uid: int
    gid: int
    size_bytes: int
    mtime_ns: int
    data_offset: int
    link_target: bytes
    device: tuple[int, int]
    xattrs: dict[bytes, bytes]
    sparse: Extents | None
    group: int
    is_implied: bool
    is_opaque: bool


@dataclass(frozen=True, slots=True)
class IndexStats:
    """Totals of one layer.

    Attributes:
        entries: Names without the root, whiteouts among them.
        whiteouts: Of these.
        size_bytes: Of all files; a file with several names counts once.
    """

    entries: int
    whiteouts: int
    size_bytes: int


class LayerIndex:
    """The names of one layer; immutable. Made by :func:`build_index` or read."""

    __slots__ = (*COLUMNS, *BLOBS)

    parents: memoryview
    first_children: memoryview
    name_ends: memoryview
    uids: memoryview
    gids: memoryview
    groups: memoryview
    extras: memoryview
    sizes: memoryview
    mtimes: memoryview
    data: memoryview
    modes: memoryview
    kinds: memoryview
    flags: memoryview
    names: memoryview
    texts: memoryview
    extra: memoryview

    def __init__(self, parts: dict[str, memoryview]) -> None:
        for name, code in COLUMNS.items():
            setattr(self, name, parts[name].cast("B").cast(code))
        for name in BLOBS:
            setattr(self, name, parts[name].cast("B"))

    def __len__(self) -> int:
        """Return how many names there are, the root included."""
        return len(self.kinds)

    @property
    def is_root_opaque(self) -> bool:
        """Whether the layer hides all that is below it."""
        return bool(self.flags[0] & Flag.OPAQUE)

    @property
    def is_clamped(self) -> bool:
        """Whether a path of the layer held ``..`` and was read within the root."""
        return bool(self.flags[0] & Flag.CLAMPED)

    def kind(self, node: int) -> Kind:
        """Return what a name is."""
        return Kind(self.kinds[node])

    def name(self, node: int) -> bytes:
        """Return a name in its directory; empty for the root."""
        start = self.name_ends[node - 1] if node else 0
        return bytes(self.names[start : self.name_ends[node]])

    def path(self, node: int) -> bytes:
        """Return the path from the root, without a leading slash."""
        parts = []
        while node:
            parts.append(self.name(node))
            node = self.parents[node]
        return b"/".join(reversed(parts))

    def children(self, node: int) -> range:
        """Return the names in a directory, sorted by their bytes."""
        return range(self.first_children[node], self.first_children[node + 1])

    def child(self, node: int, name: bytes) -> int | None:
        """Return ``name`` in the directory ``node``, None if it is not there."""
        low, high = self.first_children[node], self.first_children[node + 1]
        end = high
        while low < high:
            middle = (low + high) // 2
            if self.name(middle) < name:
                low = middle + 1
            else:
                high = middle
        return low if low < end and self.name(low) == name else None

    def lookup(self, path: bytes) -> int | None:
        """Return the name at a path; symlinks are not followed, ``..`` is a name."""
        node = 0
        for part in path.split(b"/"):
            if part and part != b".":
                child = self.child(node, part)
                if child is None:
                    return None
                node = child
        return node

    def walk(self, top: int = 0) -> Iterator[tuple[bytes, int]]:
        """Yield every path below ``top`` with its number, directories before contents.

        In the order of paths compared component by component.
        """
        path = self.path(top)
        pending = [(path + b"/" if path else b"", iter(self.children(top)))]
        while pending:
            prefix, siblings = pending[-1]
            node = next(siblings, None)
            if node is None:
                pending.pop()
                continue
            path = prefix + self.name(node)
            yield path, node
            if self.first_children[node] < self.first_children[node + 1]:
                pending.append((path + b"/", iter(self.children(node))))

    def link_target(self, node: int) -> bytes:
        """Return the target of a symlink or lower link; empty for any other."""
        if self.kinds[node] not in (Kind.SYMLINK, Kind.LOWER_LINK):
            return b""
        start = self.data[node]
        return bytes(self.texts[start : start + self.sizes[node]])

    def device(self, node: int) -> tuple[int, int]:
        """Return major and minor number of a device; (0, 0) for any other."""
        if self.kinds[node] not in (Kind.CHARACTER_DEVICE, Kind.BLOCK_DEVICE):
            return 0, 0
        return self.data[node] >> 32, self.data[node] & 0xFFFFFFFF

    def xattrs(self, node: int) -> dict[bytes, bytes]:
        """Return the extended attributes that the tar gives, unfiltered."""
        offset = self.extras[node]
        return read_xattrs(self.extra, offset) if offset else {}

    def sparse(self, node: int) -> Extents | None:
        """Return the data extents of a sparse file; None for any other."""
        offset = self.extras[node]
        return read_sparse(self.extra, offset) if offset else None

    def entry(self, node: int) -> IndexEntry:
        """Return all about one name."""
        kind = self.kind(node)
        flags = self.flags[node]
        return IndexEntry(
            node=node,
            name=self.name(node),
            kind=kind,
            mode=self.modes[node],
            uid=self.uids[node],
            gid=self.gids[node],
            size_bytes=self.sizes[node],
            mtime_ns=self.mtimes[node],
            data_offset=self.data[node] if kind == Kind.FILE else 0,
            link_target=self.link_target(node),
            device=self.device(node),
            xattrs=self.xattrs(node),
            sparse=self.sparse(node),
            group=self.groups[node],
            is_implied=bool(flags & Flag.IMPLIED),
            is_opaque=bool(flags & Flag.OPAQUE),
        )

    def link_groups(self) -> dict[int, list[int]]:
        """Return the names of each file that has several, in order of numbers."""
        found: dict[int, list[int]] = {}
        for node, group in enumerate(self.groups):
            if group:
                found.setdefault(group, []).append(node)
        return found

    def stats(self) -> IndexStats:
        """Add up what the layer holds; this reads the whole index."""
        is_file = int(Kind.FILE).__eq__
        size_bytes = sum(compress(self.sizes, map(is_file, self.kinds)))
        if any(self.groups):  # each file once
            for names in self.link_groups().values():
                if is_file(self.kinds[names[0]]):
                    size_bytes -= self.sizes[names[0]] * (len(names) - 1)
        whiteouts = self.kinds.tobytes().count(Kind.WHITEOUT)
        return IndexStats(len(self) - 1, whiteouts, size_bytes)
