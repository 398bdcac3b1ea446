"""zstd and lz4: one frame a stream, by one thread."""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

from snapfs.compression.detection import Compression

ZSTD_LEVEL: Final = 3


class ZstdCompressor:
    """A zstd frame; see :class:`snapfs.compression.compressor.Compressor`.

    Neither checksum nor content size: layers have digests, and sizes are known late.
    """

    compression = Compression.ZSTD
    is_parallel = False

    def __init__(self) -> None:
        import zstandard

        number = ".".join(map(str, zstandard.ZSTD_VERSION))
        self.description = f"zstd/{number} level={ZSTD_LEVEL}"
        self._frame = zstandard.ZstdCompressor(
            level=ZSTD_LEVEL, write_checksum=False, write_content_size=False, threads=0
        ).compressobj()

    def begin(self) -> bytes:
        """Return nothing: the first block brings the header."""
        return b""

    def block(self, data: memoryview, before: bytes, *, is_last: bool) -> bytes:
        """Return what the frame has grown by."""
        return self._frame.compress(data)

    def passed(self, data: memoryview) -> None:
        """Do nothing."""

    def end(self) -> bytes:
        """Return the rest of the frame."""
        return self._frame.flush()


class Lz4Compressor:
    """An lz4 frame; see :class:`snapfs.compression.compressor.Compressor`."""

    compression = Compression.LZ4
    is_parallel = False

    def __init__(self) -> None:
        from lz4.frame import BLOCKSIZE_MAX256KB, LZ4FrameCompressor

        self.description = f"lz4/{version('lz4')} level=0"
        self._frame = LZ4FrameCompressor(
            block_size=BLOCKSIZE_MAX256KB, block_linked=True, content_checksum=False
        )

    def begin(self) -> bytes:
        """Return the frame's header."""
        header: bytes = self._frame.begin()
        return header

    def block(self, data: memoryview, before: bytes, *, is_last: bool) -> bytes:
        """Return what the frame has grown by."""
        grown: bytes = self._frame.compress(data)
        return grown

    def passed(self, data: memoryview) -> None:
        """Do nothing."""

    def end(self) -> bytes:
        """Return the rest of the frame."""
        rest: bytes = self._frame.flush()
        return rest
