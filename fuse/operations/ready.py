"""Attributes of listed entries that take no lookup: of most files in lower layers."""

from __future__ import annotations

import os
import stat
import struct

from snapfs.fuse.union.listing import DT_DIR, Entry, Listing, d_type
from snapfs.fuse.union.lookup import may_be_metacopy
from snapfs.fuse.union.node import LOWER_IMPURE, Directory
from snapfs.fuse.wire import structs
from snapfs.light_typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from snapfs.fuse.operations.context import Context

_INO: Final = struct.Struct("<Q")
_attributes: Final = struct.Struct(f"{structs.ATTR.size}s").unpack_from
_REGULAR: Final = d_type(stat.S_IFREG)
_CHARACTER: Final = d_type(stat.S_IFCHR)


class ReadyEntries:
    """Says what there is to say of the entries of directories.

    Not of directories, which may be merged or renamed; of nothing in the upper, where
    files have further names and come from below; and of nothing that is a node
    already, which may have been changed since it was listed.
    """

    __slots__ = ("_has_other_numbers", "_has_records", "_replies", "_union")

    def __init__(self, context: Context) -> None:
        self._union = context.union
        self._replies = context.replies
        # The records of an index have the owners on disk.
        self._has_records = context.union.options.ownership.is_identity
        self._has_other_numbers = context.union.numbers.has_high_bits

    def find(
        self, directory: Directory, listing: Listing, entry: Entry
    ) -> tuple[int, bytes] | None:
        """Return ``st_ino`` and ``structs.ATTR`` of an entry, None: look it up.

        By the index of its layer without a system call, else by one fstatat(2).
        """
        _, name, kind, layer, ino = entry
        if not layer or kind == DT_DIR or name in directory.children:
            return None
        positions = listing.positions.get(layer)
        if positions is None or not ino or not self._has_records:
            return self._on_disk(directory, entry)
        attributes: bytes
        (attributes,) = _attributes(listing.records[layer], positions[name])
        if self._has_other_numbers:
            attributes = _INO.pack(ino) + attributes[_INO.size :]
        return ino, attributes

    def _on_disk(self, directory: Directory, entry: Entry) -> tuple[int, bytes] | None:
        _, name, kind, index, _ = entry
        union = self._union
        try:
            fd = union.directory_fd(directory, index)
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
        except OSError:
            return None  # the lookup tells
        if d_type(status.st_mode) != kind or kind == _CHARACTER:
            return None  # another object by now; a whiteout perhaps
        if kind == _REGULAR:
            layer = union.stack.layers[index]
            # An empty file may be a whiteout of the second form.
            if layer.has_xattrs and (
                not status.st_size
                or may_be_metacopy(status, layer, directory.flags & LOWER_IMPURE)
            ):
                return None
        ino = union.numbers.shown(index, status.st_ino)
        return ino, self._replies.packed(status, ino, status.st_nlink)
