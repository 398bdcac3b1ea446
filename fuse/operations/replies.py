"""Attributes as the kernel wants them: the replies that many operations share."""

from __future__ import annotations

import os
import stat
from typing import Final

from snapfs.fuse.union.union import Ownership
from snapfs.fuse.wire import structs

AttrFields = tuple[
    int, int, int, int, int, int, int, int, int, int, int, int, int, int, int, int
]

_NS_PER_S: Final = 1_000_000_000
# Times before 1970 are negative; the field takes the same 64 bits.
_MASK_64: Final = (1 << 64) - 1
_MASK_32: Final = (1 << 32) - 1


class Replies:
    """Packs attributes, with the timeouts and the owners of one mount.

    Attributes:
        negative: The reply to a LOOKUP of a name that does not exist, which the
            kernel keeps as long as a name that does.
    """

    __slots__ = (
        "_has_static_nlink",
        "_nanoseconds",
        "_ownership",
        "_seconds",
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
        self._seconds = int(timeout_s)
        self._nanoseconds = int((timeout_s - self._seconds) * _NS_PER_S)
        # None where owners are shown as they are: nothing to call.
        self._ownership = None if ownership.is_identity else ownership
        head = structs.ENTRY.pack(0, 0, self._seconds, 0, self._nanoseconds, 0)
        self.negative = head + bytes(structs.ATTR.size)

    def fields(self, status: os.stat_result, ino: int, nlink: int) -> AttrFields:
        """Return the fields of ``structs.ATTR``."""
        uid = status.st_uid
        gid = status.st_gid
        if self._has_static_nlink and stat.S_ISDIR(status.st_mode):
            nlink = min(nlink, 1)  # a removed one still has none
        if self._ownership is not None:
            uid, gid = self._ownership.shown(uid, gid)
        atime, atime_ns = divmod(status.st_atime_ns, _NS_PER_S)
        mtime, mtime_ns = divmod(status.st_mtime_ns, _NS_PER_S)
        ctime, ctime_ns = divmod(status.st_ctime_ns, _NS_PER_S)
        return (
            ino,
            status.st_size,
            status.st_blocks,
            atime & _MASK_64,
            mtime & _MASK_64,
            ctime & _MASK_64,
            atime_ns,
            mtime_ns,
            ctime_ns,
            status.st_mode,
            nlink,
            uid,
            gid,
            status.st_rdev & _MASK_32,
            status.st_blksize,
            0,
        )

    def entry(self, nodeid: int, status: os.stat_result, ino: int, nlink: int) -> bytes:
        """Return the reply that names a node and brings its attributes."""
        seconds = self._seconds
        nanoseconds = self._nanoseconds
        return structs.ENTRY_ATTR.pack(
            nodeid,
            0,
            seconds,
            seconds,
            nanoseconds,
            nanoseconds,
            *self.fields(status, ino, nlink),
        )

    def entry_head(self, nodeid: int) -> bytes:
        """Return the part of :meth:`entry` before the attributes."""
        seconds, nanoseconds = self._seconds, self._nanoseconds
        return structs.ENTRY.pack(nodeid, 0, seconds, seconds, nanoseconds, nanoseconds)

    def attributes(self, status: os.stat_result, ino: int, nlink: int) -> bytes:
        """Return the reply to GETATTR and SETATTR."""
        return structs.ATTR_OUT.pack(
            self._seconds, self._nanoseconds, *self.fields(status, ino, nlink)
        )

    def passing(self, status: os.stat_result, ino: int, nlink: int) -> bytes:
        """Return the same, to be asked for again each time."""
        return structs.ATTR_OUT.pack(0, 0, *self.fields(status, ino, nlink))
