"""READDIR and READDIRPLUS: what a directory holds, with or without attributes."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

from snapfs.fuse.operations.context import Context
from snapfs.fuse.session import Handler, Reply, Request
from snapfs.fuse.union.listing import DOT_DOT_COOKIE, DT_DIR, Entry
from snapfs.fuse.union.node import Directory
from snapfs.fuse.wire import Opcode, structs

_DIRENT: Final = structs.DIRENT.size
_ENTRY: Final = structs.ENTRY_ATTR.size
_PADDING: Final = tuple(bytes(-length % 8) for length in range(8))
_ATTR: Final = structs.ATTR.size
_INO: Final = struct.Struct("<Q")
_NO_NODE: Final = bytes(_ENTRY)
"""For "." and ".." the kernel wants no attributes (``fuse_direntplus_link``)."""


class ListingOperations:
    """The handlers of directories' contents.

    An offset is the cookie of the entry before: it stays valid while others come and
    go. OPENDIR is not answered, so the kernel keeps what it has read until the
    directory changes.
    """

    __slots__ = ("_context", "_has_ready_attributes", "_replies", "_union")

    def __init__(self, context: Context) -> None:
        self._context = context
        self._replies = context.replies
        self._union = context.union
        # The records have the owners on disk.
        self._has_ready_attributes = context.union.options.ownership.is_identity

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
        listing = self._union.listing(directory)
        # A lookup may change the listing in memory: not this one.
        entries = listing.entries[listing.after(offset) :]
        positions = listing.positions if self._has_ready_attributes else None
        pack, padding = structs.DIRENT.pack, _PADDING
        parts: list[bytes | memoryview] = []
        named: list[int] = []
        room = size
        for entry in entries:
            cookie, name, kind, layer, ino = entry
            length = len(name)
            room -= (_ENTRY + _DIRENT + length + 7) & ~7
            if room < 0:
                break
            if cookie <= DOT_DOT_COOKIE:
                ino = self._union.entry_ino(directory, entry)
                head = _NO_NODE
            elif positions and name in positions and self._is_ready(directory, entry):
                nodeid = self._union.take_in_listed(directory, entry).nodeid
                named.append(nodeid)
                at = positions[name]
                parts += (
                    self._replies.entry_head(nodeid),
                    _INO.pack(ino),
                    listing.records[layer][at + _INO.size : at + _ATTR],
                )
                head = b""
            else:
                head, ino = self._entry(directory, name, layer, ino, named)
            parts += (head, pack(ino, cookie, length, kind), name, padding[length & 7])
        self._union.nodes.log.referenced_many(request.unique, named)
        return b"".join(parts)

    def _is_ready(self, directory: Directory, entry: Entry) -> bool:
        """Tell whether an index has all there is to say of an entry.

        Not of a directory, which may be merged or renamed, and not of what is a node
        already: that may have been changed.
        """
        _, name, kind, layer, ino = entry
        return bool(layer and ino and kind != DT_DIR and name not in directory.children)

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
