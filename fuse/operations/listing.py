"""READDIR and READDIRPLUS: what a directory holds, with or without attributes."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

from snapfs.fuse.operations.context import Context
from snapfs.fuse.operations.replies import ENTRY_REST
from snapfs.fuse.session import Handler, Reply, Request
from snapfs.fuse.union.listing import DOT_DOT_COOKIE, DT_DIR, Entry, Listing
from snapfs.fuse.union.node import Directory
from snapfs.fuse.wire import Opcode, structs

_DIRENT: Final = structs.DIRENT.size
_ENTRY: Final = structs.ENTRY_ATTR.size
_PADDING: Final = tuple(bytes(-length % 8) for length in range(8))
_INO: Final = struct.Struct("<Q")
_attributes: Final = struct.Struct(f"{structs.ATTR.size}s").unpack_from
_PADDED: Final = range(0, 256 + 8, 8)
_DIRENTS: Final = tuple(
    struct.Struct(f"{structs.DIRENT.format}{padded}s").pack for padded in _PADDED
)
"""A dirent with its name and what fills it up, by the eighths that the name takes."""
_WHOLE: Final = tuple(
    struct.Struct(f"<Q{ENTRY_REST}s{structs.ATTR.size}sQQII{padded}s").pack
    for padded in _PADDED
)
"""The same with what READDIRPLUS has before it, in three pieces."""
_NO_NODE: Final = bytes(_ENTRY)
"""For "." and ".." the kernel wants no attributes (``fuse_direntplus_link``)."""


class ListingOperations:
    """The handlers of directories' contents.

    An offset is the cookie of the entry before: it stays valid while others come and
    go. OPENDIR is not answered, so the kernel keeps what it has read until the
    directory changes.
    """

    __slots__ = (
        "_context",
        "_has_other_numbers",
        "_has_ready_attributes",
        "_replies",
        "_union",
    )

    def __init__(self, context: Context) -> None:
        self._context = context
        self._replies = context.replies
        self._union = context.union
        # The records have the owners on disk.
        self._has_ready_attributes = context.union.options.ownership.is_identity
        self._has_other_numbers = context.union.numbers.has_high_bits

    def handlers(self) -> Mapping[Opcode, Handler]:
        """Return the handlers by operation."""
        return {
            Opcode.READDIR: self.read_directory,
            Opcode.READDIRPLUS: self.read_directory_plus,
        }

    def read_directory(self, request: Request) -> Reply:
        """Answer with as many entries after an offset as the caller has room for."""
        _, offset, size, *_ = structs.READ_IN.unpack_from(request.body)
        directory = self._context.directory(request.nodeid)
        listing = self._union.listing(directory)
        entries = listing.entries
        pack, padding = structs.DIRENT.pack, _PADDING
        parts: list[bytes] = []
        room = size
        for index in range(listing.after(offset), len(entries)):
            entry = entries[index]
            cookie, name, kind, _, ino = entry
            length = len(name)
            room -= (_DIRENT + length + 7) & ~7
            if room < 0:
                break
            if not ino:
                ino = self._union.entry_ino(directory, entry)
            parts += (pack(ino, cookie, length, kind), name, padding[length & 7])
        return b"".join(parts)

    def read_directory_plus(self, request: Request) -> Reply:
        """Answer with entries and their attributes; each is a LOOKUP saved."""
        _, offset, size, *_ = structs.READ_IN.unpack_from(request.body)
        directory = self._context.directory(request.nodeid)
        union = self._union
        listing = union.listing(directory)
        fitting = _fitting(listing, offset, size)
        # What an index has all there is to say of: no directory, which may be merged
        # or renamed, and nothing that is a node already, which may have been changed.
        positions = listing.positions if self._has_ready_attributes else {}
        children = directory.children
        ready = [
            entry
            for entry in fitting
            if entry[3] in positions
            and entry[2] != DT_DIR
            and entry[4]
            and entry[1] not in children
        ]
        first = nodeid = union.nodes.reserve(len(ready))
        waiting = iter(ready)
        next_ready = next(waiting, None)
        rest, has_other_numbers = self._replies.entry_rest, self._has_other_numbers
        parts: list[bytes] = []
        named: list[int] = []
        for entry in fitting:
            cookie, name, kind, layer, ino = entry
            length = len(name)
            eighths = (length + 7) >> 3
            if entry is next_ready:
                at = positions[layer][name]
                (shown,) = _attributes(listing.records[layer], at)
                if has_other_numbers:
                    shown = _INO.pack(ino) + shown[_INO.size :]
                parts.append(
                    _WHOLE[eighths](
                        nodeid, rest, shown, ino, cookie, length, kind, name
                    )
                )
                nodeid += 1
                next_ready = next(waiting, None)
                continue
            if cookie <= DOT_DOT_COOKIE:
                head, ino = _NO_NODE, union.entry_ino(directory, entry)
            else:
                head, ino = self._entry(directory, name, layer, ino, named)
            parts += (head, _DIRENTS[eighths](ino, cookie, length, kind, name))
        union.nodes.add_listed(directory, ready, first, request.unique)
        union.nodes.log.referenced_many(request.unique, named)
        return b"".join(parts)

    def _entry(
        self, directory: Directory, name: bytes, layer: int, ino: int, named: list[int]
    ) -> tuple[bytes, int]:
        union = self._union
        try:
            node = union.lookup(directory, name, layer)
        except OSError:
            # One that cannot be looked up is listed all the same, and its own LOOKUP
            # tells the error.
            return _NO_NODE, ino or 1
        if node is None:
            return _NO_NODE, ino or 1
        status = union.found_status
        node.lookups += 1
        named.append(node.nodeid)
        nlink = union.shown_nlink(node, status)
        return self._replies.entry(node.nodeid, status, node.ino, nlink), node.ino


def _fitting(listing: Listing, offset: int, size: int) -> list[Entry]:
    """Return as many entries after an offset as there is room for with attributes.

    A lookup may change the listing in memory: not this list.
    """
    entries = listing.entries
    start = end = listing.after(offset)
    room = size
    while end < len(entries):
        room -= (_ENTRY + _DIRENT + len(entries[end][1]) + 7) & ~7
        if room < 0:
            break
        end += 1
    return entries[start:end]
