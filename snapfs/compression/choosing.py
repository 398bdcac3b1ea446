"""The compressor for a form of stored bytes."""

from __future__ import annotations

from snapfs.compression.compressor import Compressor, NoCompressor
from snapfs.compression.detection import Compression


def make_compressor(compression: Compression, *, fast: bool = False) -> Compressor:
    """Return a new compressor of one stream.

    ``fast`` gives the same format in less time and more bytes, where that exists: gzip
    by ISA-L. Those bytes may differ between processors.
    """
    # Here: each brings a library, and a stream needs one of them.
    if compression is Compression.GZIP:
        from snapfs.compression.deflate import fast_gzip, stable_gzip

        return fast_gzip() if fast else stable_gzip()
    if compression is Compression.ZSTD:
        from snapfs.compression.frames import ZstdCompressor

        return ZstdCompressor()
    if compression is Compression.LZ4:
        from snapfs.compression.frames import Lz4Compressor

        return Lz4Compressor()
    return NoCompressor()
