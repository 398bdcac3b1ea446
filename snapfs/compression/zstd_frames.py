"""zstd: frames one after another, walked block by block.

Source: RFC 8878, sections 3.1.1 and 3.1.2. The walk finds block boundaries only;
libzstd decodes. It is what bounds memory and finds damage: python-zstandard's
``decompressobj`` has no output limit (a block of 4 bytes can stand for 128 KiB),
and its ``stream_reader`` takes a frame that is cut short for a whole one.
"""

from __future__ import annotations

from typing import Final

from zstandard import ZstdDecompressor, ZstdError

from snapfs.compression.detection import ZSTD_MAGIC, Compression, is_skippable
from snapfs.compression.stored import GatheringReader, StoredInput
from snapfs.errors import DataLossError, UnimplementedError, UnsafeLayerError

_MAGIC_BYTES: Final = 4
_SKIPPABLE_HEADER_BYTES: Final = 8
_BLOCK_HEADER_BYTES: Final = 3
_CHECKSUM_BYTES: Final = 4

# A block holds at most this much, stored and plain (section 3.1.1.2.4).
_MAX_BLOCK_BYTES: Final = 128 << 10

_RLE: Final = 1
_RESERVED: Final = 3

# By the two-bit flags of the frame header's descriptor (section 3.1.1.1.1).
_DICTIONARY_ID_BYTES: Final = (0, 1, 2, 4)
_CONTENT_SIZE_BYTES: Final = (0, 2, 4, 8)
_SINGLE_SEGMENT: Final = 0x20
_CHECKSUM: Final = 0x04


class ZstdReader(GatheringReader):
    """The plain bytes of a zstd blob.

    Args:
        stored: At the blob's first frame.
        window_bytes: What a frame may make the decoder keep in memory.
    """

    compression = Compression.ZSTD

    def __init__(self, stored: StoredInput, window_bytes: int) -> None:
        super().__init__(stored)
        self._window_bytes = window_bytes
        self._decompressor = ZstdDecompressor(max_window_size=window_bytes)
        self._frame = self._decompressor.decompressobj()
        self._in_frame = False
        self._has_checksum = False
        # Stored bytes of the frame that the decoder has not seen yet.
        self._pending: list[bytes] = []

    def _piece(self, most: int) -> bytes:
        while self._in_frame or self._next_frame():
            self._walk(max(1, most // _MAX_BLOCK_BYTES))
            piece = self._decode()
            if piece:
                return piece
        return b""

    def _next_frame(self) -> bool:
        """Begin the frame that follows; return False at the end of the blob."""
        stored = self._stored
        while is_skippable(stored.peek(_MAGIC_BYTES)):
            head = stored.exactly(_SKIPPABLE_HEADER_BYTES, "a skippable frame")
            size = int.from_bytes(head[_MAGIC_BYTES:], "little")
            stored.skip(size, "a skippable frame")
        magic = stored.peek(_MAGIC_BYTES)
        if not magic:
            return False
        if magic != ZSTD_MAGIC:
            raise DataLossError("something other than zstd follows a zstd frame")
        self._pending = [stored.exactly(_MAGIC_BYTES, "a zstd frame")]
        self._frame = self._decompressor.decompressobj()
        self._read_frame_header()
        self._in_frame = True
        return True

    def _read_frame_header(self) -> None:
        """Read what follows the magic, and check what the frame asks for."""
        descriptor = self._header_part(1)[0]
        single = bool(descriptor & _SINGLE_SEGMENT)
        self._has_checksum = bool(descriptor & _CHECKSUM)
        window = 0
        if not single:
            exponent, mantissa = divmod(self._header_part(1)[0], 8)
            window = (1 << (10 + exponent)) * (8 + mantissa) // 8
        if any(self._header_part(_DICTIONARY_ID_BYTES[descriptor & 3])):
            raise UnimplementedError("a zstd frame needs a dictionary")
        size_bytes = _CONTENT_SIZE_BYTES[descriptor >> 6] or int(single)
        content_size = int.from_bytes(self._header_part(size_bytes), "little")
        if single:
            window = content_size
        if window > self._window_bytes:
            raise UnsafeLayerError(
                f"a zstd frame asks for a window of {window} bytes; at most "
                f"{self._window_bytes} are allowed"
            )

    def _header_part(self, size: int) -> bytes:
        """Read the next field of the frame header, and keep it for the decoder."""
        part = self._stored.exactly(size, "a zstd frame header")
        self._pending.append(part)
        return part

    def _walk(self, most: int) -> None:
        """Read up to ``most`` blocks of the frame, and its checksum after the last."""
        stored = self._stored
        pending = self._pending
        for _ in range(most):
            head = stored.exactly(_BLOCK_HEADER_BYTES, "a zstd frame")
            bits = int.from_bytes(head, "little")
            kind, size = bits >> 1 & 3, bits >> 3
            if kind == _RESERVED or size > _MAX_BLOCK_BYTES:
                raise DataLossError("a zstd block is malformed")
            pending.append(head)
            pending.append(stored.exactly(1 if kind == _RLE else size, "a zstd block"))
            if bits & 1:
                if self._has_checksum:
                    pending.append(stored.exactly(_CHECKSUM_BYTES, "a zstd checksum"))
                self._in_frame = False
                return

    def _decode(self) -> bytes:
        """Return what the pending bytes yield."""
        data = b"".join(self._pending)
        self._pending.clear()
        try:
            piece = self._frame.decompress(data)
        except ZstdError as damage:
            raise DataLossError(f"a zstd frame is damaged: {damage}") from damage
        if not self._in_frame and not self._frame.eof:
            raise DataLossError("a zstd frame does not end where it says")
        return piece
