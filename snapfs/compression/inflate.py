"""gzip: members one after another, with padding allowed after the last.

Source: RFC 1952, section 2.2; zero padding is what tapes and some tools add, and
gzip(1) ignores it. eStargz blobs have a member for every few files.
"""

from __future__ import annotations

from typing import Final, cast

from snapfs.compression.detection import GZIP_MAGIC, Compression
from snapfs.compression.stored import READ_BYTES, GatheringReader, StoredInput
from snapfs.errors import DataLossError

# Both have zlib's interface and check the trailer. isal exists for x86-64 and
# arm64 only; there it is the faster one.
try:
    from isal.isal_zlib import decompressobj, error
except ImportError:
    # Another class with the same interface.
    from zlib_ng.zlib_ng import decompressobj, error  # type: ignore[assignment]

# Both packages declare it as an instance.
_InflateError = cast("type[Exception]", error)

# zlib.h, inflateInit2: 15 bits of window, plus 16 for the gzip format.
_GZIP_WBITS: Final = 31

# What a new member is fed first; doubled from there. All that a decompressor does
# not use is copied, so feeding whole reads would make a blob of tiny members take
# quadratic time.
_FIRST_FEED_BYTES: Final = 4 << 10


class GzipReader(GatheringReader):
    """The plain bytes of a gzip blob."""

    compression = Compression.GZIP

    def __init__(self, stored: StoredInput) -> None:
        super().__init__(stored)
        self._member = decompressobj(_GZIP_WBITS)
        self._feed = _FIRST_FEED_BYTES
        self._members = 1
        # Output was cut at the size asked for: there may be more without input.
        self._has_more = False

    def _piece(self, most: int) -> bytes:
        while not self._member.eof or self._next_member():
            piece = self._inflate(most)
            if piece:
                return piece
        return b""

    def _inflate(self, most: int) -> bytes:
        """Return what the current member yields from the next stored bytes."""
        stored = self._stored
        data = stored.some(self._feed)
        if not data and not self._has_more:
            raise DataLossError(f"the content ends within gzip member {self._members}")
        self._feed = min(2 * self._feed, READ_BYTES)
        member = self._member
        try:
            piece = member.decompress(data, most)
        except _InflateError as damage:
            raise DataLossError(
                f"gzip member {self._members} is damaged: {damage}"
            ) from damage
        unused = member.unused_data if member.eof else member.unconsumed_tail
        stored.give_back(len(unused))
        self._has_more = len(piece) == most
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
        self._member = decompressobj(_GZIP_WBITS)
        self._feed = _FIRST_FEED_BYTES
        self._members += 1
        self._has_more = False
        return True
