"""The contract of what makes stored bytes of plain ones, block by block."""

from __future__ import annotations

from typing import Final, Protocol

from snapfs.compression.detection import Compression

PLAIN_BLOCK_BYTES: Final = 256 << 10
"""What is compressed at a time. It decides the stored bytes: never change it."""

WINDOW_BYTES: Final = 32 << 10
"""How far back deflate looks (RFC 1951)."""


class Compressor(Protocol):
    """Compresses one stream, cut into blocks of :data:`PLAIN_BLOCK_BYTES`.

    The last block may be shorter, and empty only in an empty stream. Equal streams
    give equal bytes, by however many threads.

    Attributes:
        compression: What the stored bytes are.
        description: Program, version and settings: all that decides the bytes.
        is_parallel: Blocks may be compressed in any order, at the same time.
    """

    compression: Compression
    description: str
    is_parallel: bool

    def begin(self) -> bytes:
        """Return what comes before the first block."""

    def block(self, data: memoryview, before: bytes, *, is_last: bool) -> bytes:
        """Return a block compressed; ``before`` is the end of the block before it.

        One that is not parallel is called with each block in turn.
        """

    def passed(self, data: memoryview) -> None:
        """Take note of a block, in the order of the stream; for checksums."""

    def end(self) -> bytes:
        """Return what comes after the last block."""


class NoCompressor:
    """Stores the plain bytes; see :class:`Compressor`."""

    compression = Compression.NONE
    description = "none"
    is_parallel = True

    def begin(self) -> bytes:
        """Return nothing."""
        return b""

    def block(self, data: memoryview, before: bytes, *, is_last: bool) -> bytes:
        """Return the block as it is."""
        return bytes(data)

    def passed(self, data: memoryview) -> None:
        """Do nothing."""

    def end(self) -> bytes:
        """Return nothing."""
        return b""
