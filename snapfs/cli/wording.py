"""How values read on a terminal: sizes, times, names that must stay on one line."""

from __future__ import annotations

import time
from collections.abc import Mapping

from snapfs.light_typing import Final

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_NS: Final = 1_000_000_000
# What os.fsdecode() makes of the bytes 0x80 to 0xff where they are no UTF-8 (PEP 383).
_FIRST_BYTE: Final = "\udc80"
_LAST_BYTE: Final = "\udcff"
_AGES: Final = (
    (86_400 * 365, "y"),
    (86_400, "d"),
    (3_600, "h"),
    (60, "m"),
)


def human_bytes(size_bytes: int) -> str:
    """Return a size in the largest unit that leaves a number of 1 or more."""
    value = float(size_bytes)
    for unit in _UNITS:
        if abs(value) < 1024 or unit == _UNITS[-1]:
            return f"{size_bytes} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("unreachable")


def timestamp(time_ns: int) -> str:
    """Return RFC 3339 in UTC, to the nanosecond: nothing of the value is lost."""
    seconds, nanoseconds = divmod(time_ns, _NS)
    day = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{day}.{nanoseconds:09d}Z"


def age(time_ns: int, now_ns: int) -> str:
    """Return how long ago ``time_ns`` was, in its largest unit: ``3d``, ``12s``."""
    seconds = max(0, now_ns - time_ns) // _NS
    for length, unit in _AGES:
        if seconds >= length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return ``1 layer``, ``2 layers``."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def printable(text: str) -> str:
    r"""Escape what would move the cursor, change colours or break the line.

    Keys and paths come from images and other programs; a terminal must not obey
    them. A byte that is no UTF-8 reads ``\xNN``, as in JSON.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    if _FIRST_BYTE <= char <= _LAST_BYTE:
        return f"\\x{ord(char) & 0xFF:02x}"
    return char.encode("unicode_escape").decode()


def one_line(text: str) -> str:
    """Return a message as one printable line."""
    return printable(" ".join(text.split("\n")).strip())


def did_you_mean(word: str, known: Mapping[str, object] | list[str]) -> str:
    """Return a clause with the known words nearest to ``word``, or ""."""
    import difflib

    near = difflib.get_close_matches(word, list(known), n=3)
    return f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
