"""gzip: members one after another, with padding allowed after the last.

Source: RFC 1952, section 2.2; zero padding is what tapes and some tools add, and
gzip(1) ignores it. eStargz blobs have a member for every few files.
"""

from __future__ import annotations

from typing import Final, Protocol, cast

from snapfs.compression.detection import GZIP_MAGIC, Compression
from snapfs.compression.stored import READ_BYTES, GatheringReader, StoredInput
from snapfs.errors import DataLossError


class _Member(Protocol):
    """What inflates one member and checks its trailer; as bz2's decompressor."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(
        self, data: bytes | memoryview, /, max_length: int = ...
    ) -> bytes: ...


# isal exists for x86-64 and arm64 only; there it is the faster one. Its igzip_lib
# makes room for all output at once; its form of zlib's interface asks for the
# interpreter's lock each time that it doubles the room, from 16 KiB on.
try:
    from isal.igzip_lib import DECOMP_GZIP, IgzipDecompressor, error

    def _new_member() -> _Member:
        return IgzipDecompressor(flag=DECOMP_GZIP)

except ImportError:
    from zlib_ng.zlib_ng import error

    from snapfs.compression.zlib_member import ZlibMember

    def _new_member() -> _Member:
        return ZlibMember()


# Both packages declare it as an instance.
_InflateError = cast("type[Exception]", error)

# What a new member is fed first; doubled from there. All that a decompressor does
# not use is copied, so feeding whole reads would make a blob of tiny members take
# quadratic time.
_FIRST_FEED_BYTES: Final = 4 << 10


class GzipReader(GatheringReader):
    """The plain bytes of a gzip blob."""

    compression = Compression.GZIP

    def __init__(self, stored: StoredInput) -> None:
        super().__init__(stored)
        self._member = _new_member()
        self._feed = _FIRST_FEED_BYTES
        self._members = 1

    def _piece(self, most: int) -> bytes:
        while not self._member.eof or self._next_member():
            piece = self._inflate(most)
            if piece:
                return piece
        return b""

    def _inflate(self, most: int) -> bytes:
        """Return what the current member yields from the next stored bytes."""
        member = self._member
        data: bytes | memoryview = b""
        if member.needs_input:
            data = self._stored.some(self._feed)
            if not data:
                raise DataLossError(
                    f"the content ends within gzip member {self._members}"
                )
            self._feed = min(2 * self._feed, READ_BYTES)
        try:
            piece = member.decompress(data, most)
        except _InflateError as damage:
            raise DataLossError(
                f"gzip member {self._members} is damaged: {damage}"
            ) from damage
        if member.eof:
            self._stored.give_back(len(member.unused_data))
        return piece

    def _next_member(self) -> bool:
        """Begin the member that follows; return False at the end of the blob."""
        padded = False
        while self._stored.peek(1) == b"\0":
            padded = True
            piece = self._stored.some(READ_BYTES)
            self._stored.give_back(len(bytes(piece).lstrip(b"\0")))
        magic = self._stored.peek(len(GZIP_MAGIC))
        if not magic:
            return False
        if padded or magic != GZIP_MAGIC:
            raise DataLossError(
                f"something other than gzip follows gzip member {self._members}"
            )
        self._member = _new_member()
        self._feed = _FIRST_FEED_BYTES
        self._members += 1
        return True
