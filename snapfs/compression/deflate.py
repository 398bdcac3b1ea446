"""gzip in blocks that any number of threads compress at once, as one member.

Each block is deflated on its own, with the end of the block before it as dictionary,
and ends on a whole byte by an empty stored block (``Z_SYNC_FLUSH``): one after the
other they are one deflate stream, as pigz writes it. Where a block begins depends on
nothing but the plain bytes, and so does the result.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Final, Protocol

from snapfs.compression.compressor import PLAIN_BLOCK_BYTES, WINDOW_BYTES
from snapfs.compression.detection import Compression

ZLIB_LEVEL: Final = 6

_RAW_WBITS: Final = -15  # deflate without header and trailer
_MEMORY_LEVEL: Final = 8

# What holes of sparse files are read as: one block after the other.
_ZEROS: Final = bytes(PLAIN_BLOCK_BYTES)

# RFC 1952: deflate, no flags, no time, no word on the level, no operating system.
_HEADER: Final = b"\x1f\x8b\x08\0" + bytes(4) + b"\0\xff"


class _Deflater(Protocol):
    def compress(self, data: memoryview, /) -> bytes:
        """Return what is ready."""

    def flush(self, mode: int = ..., /) -> bytes:
        """Return the rest."""


class GzipCompressor:
    """A gzip stream; see :class:`snapfs.compression.compressor.Compressor`.

    Args:
        make: Returns a deflater of raw blocks that begins with a dictionary.
        description: The program, its version and its level.
        crc32: As that of :mod:`zlib`.
    """

    compression = Compression.GZIP
    is_parallel = True

    def __init__(
        self,
        make: Callable[[bytes], _Deflater],
        description: str,
        crc32: Callable[[memoryview, int], int],
    ) -> None:
        self.description = f"{description} block={PLAIN_BLOCK_BYTES}"
        self._make = make
        self._crc32 = crc32
        self._sum = 0
        self._size_bytes = 0
        self._among_zeros: dict[bool, bytes] = {}

    def begin(self) -> bytes:
        """Return the member's header."""
        return _HEADER

    def block(self, data: memoryview, before: bytes, *, is_last: bool) -> bytes:
        """Return a block deflated; of one of zeros among others, what it was before."""
        if _is_zero(data) and before == _ZEROS[:WINDOW_BYTES]:
            if is_last not in self._among_zeros:
                self._among_zeros[is_last] = self._deflate(data, before, is_last)
            return self._among_zeros[is_last]
        return self._deflate(data, before, is_last)

    def _deflate(self, data: memoryview, before: bytes, is_last: bool) -> bytes:
        deflater = self._make(before)
        head = deflater.compress(data)
        return head + deflater.flush(zlib.Z_FINISH if is_last else zlib.Z_SYNC_FLUSH)

    def passed(self, data: memoryview) -> None:
        """Take a block into the checksum."""
        self._sum = self._crc32(data, self._sum)
        self._size_bytes += len(data)

    def end(self) -> bytes:
        """Return the member's trailer."""
        size = self._size_bytes & 0xFFFFFFFF
        return self._sum.to_bytes(4, "little") + size.to_bytes(4, "little")


def _is_zero(data: memoryview) -> bool:
    """Tell whether a whole block is zeros, at no cost where it does not begin so."""
    is_whole = len(data) == PLAIN_BLOCK_BYTES
    return is_whole and not data[0] and bytes(data) == _ZEROS


def stable_gzip() -> GzipCompressor:
    """Return zlib at level 6: what most tools use, and the same on each machine."""

    def make(before: bytes) -> _Deflater:
        arguments = (ZLIB_LEVEL, zlib.DEFLATED, _RAW_WBITS, _MEMORY_LEVEL)
        if before:
            return zlib.compressobj(*arguments, zdict=before)
        return zlib.compressobj(*arguments)

    version = zlib.ZLIB_RUNTIME_VERSION
    return GzipCompressor(make, f"zlib/{version} level={ZLIB_LEVEL}", _fast_crc32())


def fast_gzip() -> GzipCompressor:
    """Return the fastest deflate there is here: ISA-L at level 1, or zlib-ng.

    Both choose their code by the processor, so another machine may store other bytes
    of the same layer. The diff ID is the same all over.
    """
    try:
        import isal
        from isal import isal_zlib
    except ImportError:  # exists for x86-64 and arm64 only
        return _zlib_ng()

    def make(before: bytes) -> _Deflater:
        arguments = (1, isal_zlib.DEFLATED, _RAW_WBITS, _MEMORY_LEVEL, 0)
        if before:
            return isal_zlib.compressobj(*arguments, before)
        return isal_zlib.compressobj(*arguments)

    return GzipCompressor(make, f"isal/{isal.__version__} level=1", isal_zlib.crc32)


def _zlib_ng() -> GzipCompressor:
    from zlib_ng import zlib_ng

    def make(before: bytes) -> _Deflater:
        arguments = (1, zlib_ng.DEFLATED, _RAW_WBITS, _MEMORY_LEVEL)
        if before:
            return zlib_ng.compressobj(*arguments, zdict=before)
        return zlib_ng.compressobj(*arguments)

    version = zlib_ng.ZLIBNG_RUNTIME_VERSION
    return GzipCompressor(make, f"zlib-ng/{version} level=1", zlib_ng.crc32)


def _fast_crc32() -> Callable[[memoryview, int], int]:
    """Return the CRC of ISA-L where it is: ten times as fast, and the same number."""
    try:
        from isal.isal_zlib import crc32
    except ImportError:
        return zlib.crc32
    return crc32
