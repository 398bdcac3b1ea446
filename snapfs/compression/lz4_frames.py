"""lz4: frames one after another.

Source: "LZ4 Frame Format Description" of the lz4 project.
"""

from __future__ import annotations

from typing import Final

from lz4.frame import LZ4FrameDecompressor

from snapfs.compression.detection import LZ4_MAGIC, Compression, is_skippable
from snapfs.compression.stored import READ_BYTES, GatheringReader, StoredInput
from snapfs.errors import DataLossError

_MAGIC_BYTES: Final = 4
_SKIPPABLE_HEADER_BYTES: Final = 8

# As for gzip: unused bytes are copied, so feeds start small and double.
_FIRST_FEED_BYTES: Final = 4 << 10


class Lz4Reader(GatheringReader):
    """The plain bytes of an lz4 blob."""

    compression = Compression.LZ4

    def __init__(self, stored: StoredInput) -> None:
        super().__init__(stored)
        self._frame = LZ4FrameDecompressor()
        self._feed = _FIRST_FEED_BYTES

    def _piece(self, most: int) -> bytes:
        while not self._frame.eof or self._next_frame():
            piece = self._decode(most)
            if piece:
                return piece
        return b""

    def _decode(self, most: int) -> bytes:
        """Return what the current frame yields from the next stored bytes."""
        frame = self._frame
        data = b""
        if frame.needs_input:
            data = bytes(self._stored.some(self._feed))
            self._feed = min(2 * self._feed, READ_BYTES)
            if not data:
                raise DataLossError("the content ends within an lz4 frame")
        try:
            piece: bytes = frame.decompress(data, most)
        except RuntimeError as damage:  # the package has no class of its own
            raise DataLossError(f"an lz4 frame is damaged: {damage}") from damage
        if frame.eof:
            self._stored.give_back(len(frame.unused_data or b""))
        return piece

    def _next_frame(self) -> bool:
        """Begin the frame that follows; return False at the end of the blob."""
        while is_skippable(self._stored.peek(_MAGIC_BYTES)):
            head = self._stored.exactly(_SKIPPABLE_HEADER_BYTES, "a skippable frame")
            size = int.from_bytes(head[_MAGIC_BYTES:], "little")
            self._stored.skip(size, "a skippable frame")
        magic = self._stored.peek(_MAGIC_BYTES)
        if not magic:
            return False
        if magic != LZ4_MAGIC:
            raise DataLossError("something other than lz4 follows an lz4 frame")
        self._frame = LZ4FrameDecompressor()
        self._feed = _FIRST_FEED_BYTES
        return True
