"""Opening a blob: the reader that fits its first bytes."""

from __future__ import annotations

from snapfs.compression.detection import HEAD_BYTES, Compression, detect
from snapfs.compression.stored import (
    ByteSource,
    PlainReader,
    StoredInput,
    StoredPlain,
)


def open_plain(source: ByteSource, *, zstd_window_bytes: int) -> PlainReader:
    """Return a reader of the plain bytes of ``source``, by its content.

    This reads the first bytes. The source stays the caller's to close.

    Raises:
        UnimplementedError: The content is compressed in an unsupported way.
    """
    stored = StoredInput(source)
    compression = detect(stored.peek(HEAD_BYTES))
    # Here: each brings a library, and a blob needs one of them.
    if compression is Compression.GZIP:
        from snapfs.compression.inflate import GzipReader

        return GzipReader(stored)
    if compression is Compression.ZSTD:
        from snapfs.compression.zstd_frames import ZstdReader

        return ZstdReader(stored, zstd_window_bytes)
    if compression is Compression.LZ4:
        from snapfs.compression.lz4_frames import Lz4Reader

        return Lz4Reader(stored)
    return StoredPlain(stored)
