"""A file's content as lines: text, or bytes in hex."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from snapfs.cli.wording import printable

LIMIT_BYTES: Final = 8 << 20
"""As much of a file is read; nobody looks at more by eye."""

_LOOKED_AT: Final = 8192  # as git and grep decide whether a file is text
_BYTES_A_LINE: Final = 16
_TAB: Final = 8


def head_of(pieces: Iterator[bytes]) -> bytes:
    """Return as much of a content as is shown, and stop reading there."""
    found = bytearray()
    for piece in pieces:
        found += piece
        if len(found) >= LIMIT_BYTES:
            break
    return bytes(found[:LIMIT_BYTES])


def is_binary(content: bytes) -> bool:
    """Tell whether a content is better looked at in hex."""
    return b"\0" in content[:_LOOKED_AT]


def text_lines(content: bytes) -> list[str]:
    """Return a content as lines; what is no text, or would move the cursor, escaped."""
    text = content.decode("utf-8", "surrogateescape")
    if text.endswith("\n"):
        text = text[:-1]
    return [printable(line.expandtabs(_TAB)) for line in text.split("\n")]


def hex_line_count(content: bytes) -> int:
    """Return how many lines :func:`hex_line` has."""
    return -(-len(content) // _BYTES_A_LINE)


def hex_line(content: bytes, number: int) -> str:
    """Return one line like those of ``hexdump -C``, 78 columns wide."""
    start = number * _BYTES_A_LINE
    part = content[start : start + _BYTES_A_LINE]
    half = _BYTES_A_LINE // 2
    left, right = part[:half].hex(" "), part[half:].hex(" ")
    shown = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in part)
    return f"{start:08x}  {left:<23}  {right:<23}  |{shown}|"
