"""The plain bytes of a tar: blocks of any size, read as headers and bodies.

Bodies are handed out as views into the block they lie in; only what crosses
blocks is joined. A view keeps its block alive, so a reader that collects views
collects memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from snapfs.errors import DataLossError
from snapfs.tar.header import BLOCK_BYTES


class PlainStream:
    """Bytes from ``read_block``, front to back.

    Args:
        read_block: Returns the next bytes, any number but 0; b"" at the end.
    """

    __slots__ = ("_at", "_base", "_block", "_read_block")

    def __init__(self, read_block: Callable[[], bytes]) -> None:
        self._read_block = read_block
        self._block = b""
        self._at = 0
        # Of the current block in the stream.
        self._base = 0

    @property
    def position(self) -> int:
        """Return how many bytes were consumed."""
        return self._base + self._at

    def header(self) -> bytes:
        """Return the next 512 bytes; b"" if the stream ends right here.

        Raises:
            DataLossError: The stream ends within them.
        """
        at = self._at
        end = at + BLOCK_BYTES
        if end <= len(self._block):
            self._at = end
            return self._block[at:end]
        if at == len(self._block) and not self._advance():
            return b""
        return bytes(self.join(BLOCK_BYTES))

    def view(self, size: int) -> memoryview | None:
        """Return the next ``size`` bytes if the current block holds them all."""
        at = self._at
        end = at + size
        if end > len(self._block):
            return None
        self._at = end
        return memoryview(self._block)[at:end]

    def join(self, size: int) -> memoryview:
        """Return the next ``size`` bytes; the caller bounds ``size``.

        Raises:
            DataLossError: The stream ends before.
        """
        view = self.view(size)
        if view is None:
            view = memoryview(b"".join(self.pieces(size)))
        return view

    def pieces(self, size: int) -> Iterator[memoryview]:
        """Yield the next ``size`` bytes in pieces, consumed as they are yielded.

        Raises:
            DataLossError: The stream ends before.
        """
        left = size
        while left:
            here = min(left, len(self._block) - self._at)
            if here:
                left -= here
                at = self._at
                self._at = at + here
                yield memoryview(self._block)[at : at + here]
            elif not self._advance():
                raise DataLossError(
                    f"the stream ends at byte {self.position}, {left} bytes too early"
                )

    def skip(self, size: int) -> None:
        """Go past the next ``size`` bytes.

        Raises:
            DataLossError: The stream ends before.
        """
        end = self._at + size
        if end <= len(self._block):
            self._at = end
            return
        for _ in self.pieces(size):
            pass

    def rest(self) -> Iterator[memoryview]:
        """Yield all that is left, in pieces."""
        while self._at < len(self._block) or self._advance():
            at = self._at
            self._at = len(self._block)
            yield memoryview(self._block)[at:]

    def _advance(self) -> bool:
        """Go on to the next block; return whether there is one."""
        self._base += len(self._block)
        self._at = 0
        self._block = self._read_block()
        return bool(self._block)
