"""What a file holds, in memory: the model that a real one is compared with."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    """A range of bytes."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        """The offset after the last byte."""
        return self.offset + self.length

    def __str__(self) -> str:
        return f"{self.offset} + {self.length}"


class Content:
    """The bytes of a file; its length is that of the file."""

    def __init__(self, content: bytes) -> None:
        self._bytes = bytearray(content)

    def __len__(self) -> int:
        return len(self._bytes)

    def piece(self, span: Span | None = None) -> bytes:
        """Return what a read of ``span`` gives; all of it without one."""
        if span is None:
            return bytes(self._bytes)
        return bytes(self._bytes[span.offset : span.end])

    def grow(self, size: int) -> None:
        """Be no shorter than ``size``; zeros come at the end."""
        self._bytes.extend(bytes(max(0, size - len(self._bytes))))

    def cut(self, size: int) -> None:
        """Have exactly that size."""
        self.grow(size)
        del self._bytes[size:]

    def put(self, offset: int, data: bytes) -> None:
        """Write; nothing happens without data."""
        if data:
            self.grow(offset + len(data))
            self._bytes[offset : offset + len(data)] = data

    def zero(self, span: Span) -> None:
        """Have zeros in ``span``, as far as the content goes."""
        length = min(span.end, len(self._bytes)) - span.offset
        if length > 0:
            self._bytes[span.offset : span.offset + length] = bytes(length)

    def remove(self, span: Span) -> None:
        """Take ``span`` out; what follows moves down."""
        del self._bytes[span.offset : span.end]

    def insert(self, span: Span) -> None:
        """Have zeros in ``span``; what was there moves up."""
        self._bytes[span.offset : span.offset] = bytes(span.length)
