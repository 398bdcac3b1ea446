"""READDIR and READDIRPLUS: what a directory holds, with or without attributes."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from snapfs.fuse.operations.context import Context
from snapfs.fuse.operations.ready import ReadyEntries
from snapfs.fuse.operations.replies import ENTRY_REST
from snapfs.fuse.session import Handler, Reply, Request
from snapfs.fuse.union.listing import DOT_DOT_COOKIE, Entry, Listing
from snapfs.fuse.union.node import Directory
from snapfs.fuse.wire import Opcode, structs
from snapfs.light_typing import Final

_DIRENT: Final = structs.DIRENT.size
_ENTRY: Final = structs.ENTRY_ATTR.size
_PADDING: Final = tuple(bytes(-length % 8) for length in range(8))
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

    __slots__ = ("_context", "_ready", "_replies", "_union")

    def __init__(self, context: Context) -> None:
        self._context = context
        self._ready = ReadyEntries(context)
        self._replies = context.replies
        self._union = context.union

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
        ready, rest = self._ready.find, self._replies.entry_rest
        # More than are needed, so that those that are follow one another.
        first = union.nodes.reserve(len(fitting))
        made: list[Entry] = []
        named: list[int] = []
        parts: list[bytes] = []
        for entry in fitting:
            cookie, name, kind, layer, ino = entry
            length = len(name)
            eighths = (length + 7) >> 3
            found = ready(directory, listing, entry)
            if found is not None:
                ino, shown = found
                nodeid = first + len(made)
                made.append((cookie, name, kind, layer, ino))
                whole = _WHOLE[eighths]
                parts.append(
                    whole(nodeid, rest, shown, ino, cookie, length, kind, name)
                )
                continue
            if cookie <= DOT_DOT_COOKIE:
                head, ino = _NO_NODE, union.entry_ino(directory, entry)
            else:
                head, ino = self._entry(directory, name, layer, ino, named)
            parts += (head, _DIRENTS[eighths](ino, cookie, length, kind, name))
        union.nodes.add_listed(directory, made, first, request.unique)
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
