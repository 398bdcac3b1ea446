"""Numbers as tar writes them: octal fields, base-256 fields, PAX decimals.

Sources: POSIX pax(1), "ustar Interchange Format" and "pax Extended Header"; GNU
tar manual, "Extensions to the traditional format" (base-256).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeVar

from snapfs.errors import DataLossError

_Parsed = TypeVar("_Parsed")

# Padding in front, digits, then nothing or a terminator: what follows a NUL is
# not looked at, as by Go's archive/tar.
_OCTAL: Final = re.compile(rb"[ \0]*([0-7]*) *(?:\0.*)?", re.DOTALL)

_DECIMAL_TIME: Final = re.compile(rb"(-?)([0-9]{1,20})(?:\.([0-9]*))?")

# More digits than any 64-bit value has; int() on a mebibyte of digits is slow.
_DECIMAL_DIGITS: Final = 20

_BASE256: Final = 0x80
_BASE256_NEGATIVE: Final = 0x40

_LARGEST_OFFSET: Final = (1 << 63) - 1

# (uid_t)-1 means "leave as it is" to chown(2).
_LARGEST_ID: Final = (1 << 32) - 2

# dev_t inside Linux: 12 bits of major, 20 bits of minor number (kdev_t.h).
# mknod(2) would cut off more without a word.
_LARGEST_MAJOR: Final = (1 << 12) - 1
_LARGEST_MINOR: Final = (1 << 20) - 1

_SECOND_NS: Final = 10**9
_EARLIEST_NS: Final = -(1 << 63)
_LATEST_NS: Final = (1 << 63) - 1


class Memo(dict[bytes, _Parsed]):
    """What ``parse`` makes of a field, remembered for a bounded number of fields.

    Owners, times and checksums repeat from header to header, and a look-up costs
    a quarter of parsing.
    """

    __slots__ = ("_parse",)

    # At under 200 bytes each.
    _LIMIT: Final = 8192

    def __init__(self, parse: Callable[[bytes], _Parsed]) -> None:
        super().__init__()
        self._parse = parse

    def __missing__(self, field: bytes) -> _Parsed:
        """Parse a field that is not remembered."""
        parsed = self._parse(field)
        if len(self) >= self._LIMIT:
            self.clear()
        self[field] = parsed
        return parsed


def number(field: bytes) -> int:
    """Return the value of a numeric header field; an empty one is 0.

    Raises:
        DataLossError: It is neither octal nor base-256.
    """
    if field[0] & _BASE256:
        return _base256(field)
    found = _OCTAL.fullmatch(field)
    if not found:
        raise DataLossError(f"{field!r} is not a number")
    return int(found[1] or b"0", 8)


def _base256(field: bytes) -> int:
    """Return a two's complement number whose first bit only marks the form."""
    bits = 8 * len(field) - 1
    value = int.from_bytes(field, "big") & ((1 << bits) - 1)
    if field[0] & _BASE256_NEGATIVE:
        value -= 1 << bits
    return value


def size(field: bytes) -> int:
    """Return a size or offset from a header field.

    Raises:
        DataLossError: It is no number, negative, or beyond 63 bits.
    """
    return _within(number(field), _LARGEST_OFFSET, "size")


def decimal(value: bytes) -> int:
    """Return a size, an offset or an identity from a PAX record.

    Raises:
        DataLossError: It is not a row of decimal digits, or beyond 63 bits.
    """
    if not value.isdigit() or len(value) > _DECIMAL_DIGITS:
        raise DataLossError(f"{value[:40]!r} is not a decimal number")
    return _within(int(value), _LARGEST_OFFSET, "number")


def identity(value: int) -> int:
    """Return a uid or gid that Linux can store.

    Raises:
        DataLossError: It is negative or beyond 2**32 - 2.
    """
    return _within(value, _LARGEST_ID, "owner")


def device(major: int, minor: int) -> tuple[int, int]:
    """Return a device number that Linux can store.

    Raises:
        DataLossError: A part is negative or has too many bits.
    """
    return (
        _within(major, _LARGEST_MAJOR, "device major number"),
        _within(minor, _LARGEST_MINOR, "device minor number"),
    )


def _within(value: int, largest: int, what: str) -> int:
    """Return ``value`` if it is between 0 and ``largest``."""
    if not 0 <= value <= largest:
        raise DataLossError(f"the {what} {value} is not between 0 and {largest}")
    return value


def owners(field: bytes) -> tuple[int, int, int]:
    """Return mode, uid and gid from their 24 bytes in a header.

    The mode is cut to 07777: containers/storage writes S_IFMT bits into it.

    Raises:
        DataLossError: One of them is no number, or an owner cannot be stored.
    """
    return (
        number(field[:8]) & 0o7777,
        identity(number(field[8:16])),
        identity(number(field[16:24])),
    )


def header_time(field: bytes) -> int:
    """Return the nanoseconds of a header's time, which counts seconds.

    Raises:
        DataLossError: It is no number.
    """
    return _bounded(number(field) * _SECOND_NS)


def pax_time(value: bytes) -> int:
    """Return the nanoseconds of a PAX time, exact and rounded down as POSIX says.

    Raises:
        DataLossError: It is not a decimal number.
    """
    found = _DECIMAL_TIME.fullmatch(value)
    if not found:
        raise DataLossError(f"{value[:40]!r} is not a time")
    sign, seconds, fraction = found[1], found[2], found[3] or b""
    ns = int(seconds) * _SECOND_NS + int(fraction[:9].ljust(9, b"0"))
    if not sign:
        return _bounded(ns)
    return _bounded(-ns - bool(fraction[9:].strip(b"0")))


def _bounded(ns: int) -> int:
    """Return the nearest time that 64-bit nanoseconds hold (1677 to 2262)."""
    return min(max(ns, _EARLIEST_NS), _LATEST_NS)
