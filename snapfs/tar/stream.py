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

    Attributes:
        block: What was read last.
        at: How much of it was consumed; whoever finds all that it needs in the block
            may move this itself.
        base: Where in the stream the block begins.
    """

    __slots__ = ("_read_block", "at", "base", "block")

    def __init__(self, read_block: Callable[[], bytes]) -> None:
        self._read_block = read_block
        self.block = b""
        self.at = 0
        self.base = 0

    @property
    def position(self) -> int:
        """Return how many bytes were consumed."""
        return self.base + self.at

    def header(self) -> bytes:
        """Return the next 512 bytes; b"" if the stream ends right here.

        Raises:
            DataLossError: The stream ends within them.
        """
        at = self.at
        end = at + BLOCK_BYTES
        if end <= len(self.block):
            self.at = end
            return self.block[at:end]
        if at == len(self.block) and not self._advance():
            return b""
        return bytes(self.join(BLOCK_BYTES))

    def view(self, size: int) -> memoryview | None:
        """Return the next ``size`` bytes if the current block holds them all."""
        at = self.at
        end = at + size
        if end > len(self.block):
            return None
        self.at = end
        return memoryview(self.block)[at:end]

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
            here = min(left, len(self.block) - self.at)
            if here:
                left -= here
                at = self.at
                self.at = at + here
                yield memoryview(self.block)[at : at + here]
            elif not self._advance():
                raise DataLossError(
                    f"the stream ends at byte {self.position}, {left} bytes too early"
                )

    def skip(self, size: int) -> None:
        """Go past the next ``size`` bytes.

        Raises:
            DataLossError: The stream ends before.
        """
        end = self.at + size
        if end <= len(self.block):
            self.at = end
            return
        for _ in self.pieces(size):
            pass

    def rest(self) -> Iterator[memoryview]:
        """Yield all that is left, in pieces."""
        while self.at < len(self.block) or self._advance():
            at = self.at
            self.at = len(self.block)
            yield memoryview(self.block)[at:]

    def _advance(self) -> bool:
        """Go on to the next block; return whether there is one."""
        self.base += len(self.block)
        self.at = 0
        self.block = self._read_block()
        return bool(self.block)
