"""Buffers of requests in shared memory: what was read last outlives the reader.

Nearly all that a dead server had read comes again. A FORGET does not: it is nowhere
but in the buffer that it was read into.
"""

from __future__ import annotations

from snapfs.fuse.recovery.memory import BUFFERS, WORD_BUFFER, SharedMemory
from snapfs.fuse.session.request import Buffers
from snapfs.light_typing import Final

_FIRST_BYTES: Final = 8
"""Length and operation of a message: zeros are none."""


class SharedBuffers(Buffers):
    """The buffers of a session, as many as there are of them in shared memory.

    A session that needs more at once, for large requests that workers have, gets
    others: what the loop reads into such a one does not outlive it.
    """

    __slots__ = ("_memory", "_numbers", "_unmapped")

    def __init__(self, memory: SharedMemory, size: int) -> None:
        super().__init__(0)
        self._size = size
        self._memory = memory
        self._unmapped = list(range(BUFFERS - 1, -1, -1))
        self._numbers: dict[int, int] = {}
        self.vector = [self._next()]

    def take(self) -> memoryview:
        """Give the current buffer away and put another in its place."""
        taken = self.vector[0]
        self.vector = [self._next()]
        return taken

    def _next(self) -> memoryview:
        words = self._memory.words
        if self._spare:
            buffer = self._spare.pop()
        elif self._unmapped:
            number = self._unmapped.pop()
            buffer = self._memory.buffer(number, self._size)
            self._numbers[id(buffer.obj)] = number
        else:
            words[WORD_BUFFER] = 0
            return memoryview(bytearray(b"\0") * self._size)  # every page is there
        buffer[:_FIRST_BYTES] = bytes(_FIRST_BYTES)
        words[WORD_BUFFER] = self._numbers[id(buffer.obj)] + 1
        return buffer

    def give_back(self, buffer: memoryview) -> None:
        """Have ``buffer`` used again; from any thread."""
        if id(buffer.obj) in self._numbers:
            self._spare.append(buffer)

    def shrink(self) -> None:
        """Give the memory of unused buffers back to the system."""
        while self._spare:
            buffer = self._spare.pop()
            number = self._numbers.pop(id(buffer.obj))
            self._memory.free_buffer(number)
            self._unmapped.append(number)
