"""The stored bytes of a blob, and the contract of what makes them plain."""

from __future__ import annotations

import abc
from typing import Final, Protocol

from snapfs.compression.detection import Compression
from snapfs.errors import DataLossError

# One read of a compressed source. Measured: 256 KiB in and 1 MiB out keep both
# buffers in the second-level cache; more is slower with every decompressor.
READ_BYTES: Final = 256 << 10

# What a plain block is at most, and from where on it is worth handing on: blobs of
# many small frames (eStargz, zstd:chunked) would come in crumbs.
BLOCK_BYTES: Final = 1 << 20
_WORTHWHILE_BYTES: Final = 256 << 10


class ByteSource(Protocol):
    """Where stored bytes come from; whoever opened it closes it."""

    def read(self, size_bytes: int, /) -> bytes:
        """Return up to ``size_bytes`` further bytes; b"" at the end."""


class PlainReader(Protocol):
    """The plain bytes of one blob, front to back; not verified by a digest.

    Attributes:
        stored_bytes: Taken from the source so far.
        plain_bytes: Returned so far.
    """

    stored_bytes: int
    plain_bytes: int

    @property
    def compression(self) -> Compression:
        """How the blob is compressed, by its content."""

    def read_block(self) -> bytes:
        """Return further plain bytes, about a mebibyte at most; b"" at the end.

        The end is only reported after the source's own end.

        Raises:
            DataLossError: The stored bytes are cut short or damaged, or something
                else follows them.
            UnsafeLayerError: They ask for more memory than allowed.
            ValueError: The reader was closed.
        """

    def close(self) -> None:
        """Let go of memory; the source stays open. It may be called twice."""


class StoredInput:
    """A source's bytes with look-ahead.

    Attributes:
        taken_bytes: Read from the source so far.
    """

    __slots__ = ("_at", "_buffer", "_read_bytes", "_source", "taken_bytes")

    def __init__(self, source: ByteSource, read_bytes: int = READ_BYTES) -> None:
        self._source = source
        self._read_bytes = read_bytes
        self._buffer = b""
        self._at = 0
        self.taken_bytes = 0

    def peek(self, size: int) -> bytes:
        """Return the next ``size`` bytes, or all there are; consume none."""
        while len(self._buffer) - self._at < size:
            more = self._source.read(self._read_bytes)
            if not more:
                break
            self.taken_bytes += len(more)
            self._buffer = self._buffer[self._at :] + more
            self._at = 0
        return self._buffer[self._at : self._at + size]

    def some(self, most: int) -> memoryview:
        """Consume and return between 1 and ``most`` bytes; none at the end."""
        if self._at == len(self._buffer):
            self.peek(1)
        start = self._at
        self._at = min(start + most, len(self._buffer))
        return memoryview(self._buffer)[start : self._at]

    def all_buffered(self) -> bytes:
        """Consume and return a read's worth of bytes; none at the end."""
        if self._at == len(self._buffer):
            self.peek(1)
        rest = self._buffer[self._at :]
        self._buffer, self._at = b"", 0
        return rest

    def give_back(self, size: int) -> None:
        """Return the last ``size`` bytes that ``some`` consumed."""
        self._at -= size

    def exactly(self, size: int, what: str) -> bytes:
        """Consume and return ``size`` bytes, a small number.

        Raises:
            DataLossError: There are fewer; the message names ``what``.
        """
        found = self.peek(size)
        if len(found) < size:
            raise DataLossError(f"the content ends within {what}")
        self._at += size
        return found

    def skip(self, size: int, what: str) -> None:
        """Consume ``size`` bytes.

        Raises:
            DataLossError: There are fewer; the message names ``what``.
        """
        left = size
        while left:
            piece = self.some(left)
            if not piece:
                raise DataLossError(f"the content ends within {what}")
            left -= len(piece)

    def forget(self) -> None:
        """Let go of what is buffered."""
        self._buffer, self._at = b"", 0


class GatheringReader(abc.ABC):
    """What all readers share: blocks of a worthwhile size, counters, closing.

    A subclass says how to decode the next piece.
    """

    def __init__(self, stored: StoredInput) -> None:
        self._stored = stored
        self._closed = False
        self.plain_bytes = 0
        self.stored_bytes = 0

    def read_block(self) -> bytes:
        """Return further plain bytes, as ``PlainReader`` says."""
        if self._closed:
            raise ValueError("read from a closed reader")
        block = piece = self._piece(BLOCK_BYTES)
        if piece and len(piece) < _WORTHWHILE_BYTES:
            pieces = [piece]
            size = len(piece)
            while size < _WORTHWHILE_BYTES and piece:
                piece = self._piece(BLOCK_BYTES - size)
                pieces.append(piece)
                size += len(piece)
            block = b"".join(pieces)
        self.plain_bytes += len(block)
        self.stored_bytes = self._stored.taken_bytes
        return block

    def close(self) -> None:
        """Let go of memory."""
        self._closed = True
        self._stored.forget()

    @abc.abstractmethod
    def _piece(self, most: int) -> bytes:
        """Return the next plain bytes, about ``most`` at most; b"" at the end."""


class StoredPlain(GatheringReader):
    """A blob that is not compressed."""

    compression = Compression.NONE

    def _piece(self, most: int) -> bytes:
        """Return what is buffered."""
        return self._stored.all_buffered()
