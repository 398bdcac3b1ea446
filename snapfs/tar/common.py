"""What most members are, read in half the time: files and directories, ASCII headers.

Whatever is not like that is left to :class:`snapfs.tar.reader.TarReader`, which would
make the same of these.
"""

from __future__ import annotations

import struct
from typing import Final
from zlib import adler32

from snapfs.errors import DataLossError
from snapfs.tar.header import BLOCK_BYTES, with_prefix
from snapfs.tar.member import NO_DEVICE, NO_XATTRS, Member, MemberKind
from snapfs.tar.numbers import Memo
from snapfs.tar.stream import PlainStream

# Name, mode + uid + gid, size, mtime, checksum, type, first byte of the prefix.
_unpack: Final = struct.Struct("100s24s12s12s8sB188xB166x").unpack
_PREFIX: Final = slice(345, 500)

_FILE: Final = MemberKind.FILE
_KINDS: Final = {ord("0"): MemberKind.FILE, ord("5"): MemberKind.DIRECTORY}


class CommonMembers:
    """Reads members whose one header lies in the block at hand.

    Args:
        sums: See :func:`snapfs.tar.header.new_sums`.
        owners: Modes and owners by field.
        sizes: Sizes by field.
        times: Times by field.
    """

    __slots__ = ("_owners", "_sizes", "_sums", "_times")

    def __init__(
        self,
        sums: Memo[int],
        owners: Memo[tuple[int, int, int]],
        sizes: Memo[int],
        times: Memo[int],
    ) -> None:
        self._sums = sums
        self._owners = owners
        self._sizes = sizes
        self._times = times

    def read(self, stream: PlainStream, offset: int) -> Member | None:
        """Return the member whose header is at ``offset``; the body is next then.

        None, and nothing is consumed, if it is any other, or not sound.
        """
        start = offset - stream.base
        end = start + BLOCK_BYTES
        header = stream.block[start:end]
        if len(header) != BLOCK_BYTES or not header.isascii():
            return None
        name, owners, size, mtime, checksum, flag, has_prefix = _unpack(header)
        kind = _KINDS.get(flag)
        # See snapfs.tar.header.checksum_holds.
        if kind is None or (adler32(header) & 0xFFFF) - 1 != self._sums[checksum]:
            return None
        name = name.partition(b"\0")[0]
        if has_prefix:
            name = with_prefix(name, header[_PREFIX], header)
        stored = 0
        try:
            if kind is _FILE:
                if name.endswith(b"/"):  # in old headers this is a directory
                    return None
                stored = self._sizes[size]
            mode, uid, gid = self._owners[owners]
            mtime_ns = self._times[mtime]
        except DataLossError:  # to be raised where its place is known
            return None
        stream.at = end
        return Member(
            name,
            kind,
            mode,
            uid,
            gid,
            stored,
            stored,
            mtime_ns,
            b"",
            NO_DEVICE,
            NO_XATTRS,
            None,
            offset,
            offset + BLOCK_BYTES,
        )
