"""One gzip member by zlib-ng, with the interface of bz2's decompressor."""

from __future__ import annotations

from typing import Final

from zlib_ng.zlib_ng import decompressobj

# zlib.h, inflateInit2: 15 bits of window, plus 16 for the gzip format.
_GZIP_WBITS: Final = 31


class ZlibMember:
    """Inflates one member and checks its trailer.

    Attributes:
        needs_input: There is no more output without further input.
    """

    def __init__(self) -> None:
        self._inflater = decompressobj(_GZIP_WBITS)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        """Whether the member has ended."""
        return self._inflater.eof

    @property
    def unused_data(self) -> bytes:
        """What follows the end of the member in its input."""
        return self._inflater.unused_data

    def decompress(self, data: bytes | memoryview, /, max_length: int = 0) -> bytes:
        """Return up to ``max_length`` further bytes; 0 for any number.

        ``data`` is empty while no input is needed.
        """
        inflater = self._inflater
        piece = inflater.decompress(data or inflater.unconsumed_tail, max_length)
        self.needs_input = len(piece) != max_length and not inflater.unconsumed_tail
        return piece
