"""Attributes as the kernel wants them: the replies that many operations share."""

from __future__ import annotations

import os
import stat

from snapfs.fuse.union.union import Ownership
from snapfs.fuse.wire import structs
from snapfs.light_typing import Final

_NS_PER_S: Final = 1_000_000_000
_MASK_32: Final = (1 << 32) - 1
_NODEID_BYTES: Final = 8
ENTRY_REST: Final = structs.ENTRY.size - _NODEID_BYTES
_PASSING: Final = structs.ATTR_HEAD.pack(0, 0)
_pack: Final = structs.ATTR.pack


class Replies:
    """Packs attributes, with the timeouts and the owners of one mount.

    Attributes:
        entry_rest: What follows the node id in an entry, before the attributes.
        negative: The reply to a LOOKUP of a name that does not exist, which the
            kernel keeps as long as a name that does.
    """

    __slots__ = (
        "_has_static_nlink",
        "_lasting",
        "_ownership",
        "entry_rest",
        "negative",
    )

    def __init__(
        self,
        timeout_s: float,
        ownership: Ownership,
        *,
        has_static_nlink: bool = False,
    ) -> None:
        self._has_static_nlink = has_static_nlink
        # None where owners are shown as they are: nothing to call.
        self._ownership = None if ownership.is_identity else ownership
        seconds = int(timeout_s)
        nanoseconds = int((timeout_s - seconds) * _NS_PER_S)
        self._lasting = structs.ATTR_HEAD.pack(seconds, nanoseconds)
        head = structs.ENTRY.pack(0, 0, seconds, seconds, nanoseconds, nanoseconds)
        self.entry_rest = head[_NODEID_BYTES:]
        head = structs.ENTRY.pack(0, 0, seconds, 0, nanoseconds, 0)
        self.negative = head + bytes(structs.ATTR.size)

    def packed(self, status: os.stat_result, ino: int, nlink: int) -> bytes:
        """Return ``structs.ATTR`` of an object, as this mount shows it."""
        # As a tuple it has the times in whole seconds, rounded down: no division.
        mode, _, _, _, uid, gid, size, atime, mtime, ctime = status
        if self._has_static_nlink and stat.S_ISDIR(mode):
            nlink = min(nlink, 1)  # a removed one still has none
        if self._ownership is not None:
            uid, gid = self._ownership.shown(uid, gid)
        return _pack(
            ino,
            size,
            status.st_blocks,
            atime,
            mtime,
            ctime,
            status.st_atime_ns % _NS_PER_S,
            status.st_mtime_ns % _NS_PER_S,
            status.st_ctime_ns % _NS_PER_S,
            mode,
            nlink,
            uid,
            gid,
            status.st_rdev & _MASK_32,
            status.st_blksize,
            0,
        )

    def entry(self, nodeid: int, status: os.stat_result, ino: int, nlink: int) -> bytes:
        """Return the reply that names a node and brings its attributes."""
        head = nodeid.to_bytes(_NODEID_BYTES, "little") + self.entry_rest
        return head + self.packed(status, ino, nlink)

    def attributes(self, status: os.stat_result, ino: int, nlink: int) -> bytes:
        """Return the reply to GETATTR and SETATTR."""
        return self._lasting + self.packed(status, ino, nlink)

    def passing(self, status: os.stat_result, ino: int, nlink: int) -> bytes:
        """Return the same, to be asked for again each time."""
        return _PASSING + self.packed(status, ino, nlink)
