"""The grammar of option values: commas, colons, and backslashes before them.

As in overlayfs's own parser (``fs/overlayfs/params.c``): a backslash takes the
character after it as it is, so that a directory's name may hold commas and colons.
"""

from __future__ import annotations

from snapfs.errors import InvalidArgumentError
from snapfs.fuse.mount_config import IdRange
from snapfs.light_typing import Final

_ALL_IDS: Final = 2**32 - 1
_DIGITS: Final = 19  # of 64 bits
"""(uid_t) -1 is no identity."""

_EMPTY_NAME: Final = (
    "lowerdir has an empty directory name; data-only layers come after others, each"
    " after '::'"
)


def split(text: bytes, separator: bytes) -> list[bytes]:
    """Split at each ``separator`` that no backslash precedes; keep the backslashes."""
    parts: list[bytes] = []
    start = position = 0
    while position < len(text):
        char = text[position : position + 1]
        if char == b"\\":
            position += 1
        elif char == separator:
            parts.append(text[start:position])
            start = position + 1
        position += 1
    parts.append(text[start:])
    return parts


def unescape(text: bytes) -> bytes:
    """Drop each backslash that makes the next character a plain one."""
    if b"\\" not in text:
        return text
    pieces: list[bytes] = []
    position = 0
    while position < len(text):
        if text[position : position + 1] == b"\\" and position + 1 < len(text):
            position += 1
        pieces.append(text[position : position + 1])
        position += 1
    return b"".join(pieces)


def directories(value: bytes) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """Read the value of ``lowerdir``: layers, highest first, and then data-only ones.

    As overlayfs: ``A:B::C::D``, where ``::`` stands before each layer of data.

    Raises:
        InvalidArgumentError: A name is empty, or a layer follows one of data.
    """
    lowers: list[bytes] = []
    data: list[bytes] = []
    is_data_next = False
    for part in split(value, b":"):
        if not part:
            if is_data_next or not lowers:
                raise InvalidArgumentError(_EMPTY_NAME)
            is_data_next = True
            continue
        if data and not is_data_next:
            raise InvalidArgumentError(
                f"lowerdir has {_shown(part)} after a data-only layer; they come last,"
                " each after '::'"
            )
        (data if is_data_next else lowers).append(unescape(part))
        is_data_next = False
    if is_data_next:
        raise InvalidArgumentError(_EMPTY_NAME)
    return tuple(lowers), tuple(data)


def number(name: str, value: bytes) -> int:
    """Read a decimal number.

    Raises:
        InvalidArgumentError: It is none.
    """
    if not _is_number(value):
        raise InvalidArgumentError(f"option {name}={_shown(value)} is not a number")
    return int(value)


def _is_number(value: bytes) -> bool:
    return value.isdigit() and len(value) <= _DIGITS  # int() refuses thousands


def identity(name: str, value: bytes) -> int:
    """Read a user's or group's number.

    Raises:
        InvalidArgumentError: It is none, or leaves the 32-bit range.
    """
    found = number(name, value)
    if found >= _ALL_IDS:
        raise InvalidArgumentError(f"option {name}={found} leaves the 32-bit range")
    return found


def seconds(name: str, value: bytes) -> float:
    """Read a duration: a number that is not negative.

    Raises:
        InvalidArgumentError: It is none.
    """
    try:
        found = float(value)
    except ValueError:
        found = -1.0
    if not 0 <= found < 2**62:
        raise InvalidArgumentError(f"option {name}={_shown(value)} is not a duration")
    return found


def choice(name: str, value: bytes, allowed: tuple[str, ...]) -> str:
    """Read one of a few words.

    Raises:
        InvalidArgumentError: It is none of them.
    """
    found = _shown(value)
    if found not in allowed:
        raise InvalidArgumentError(
            f"option {name}={found} is none of {', '.join(allowed)}"
        )
    return found


def switch(name: str, value: bytes | None) -> bool:
    """Read ``name``, ``name=1`` or ``name=0``.

    Raises:
        InvalidArgumentError: It has another value.
    """
    return value is None or choice(name, value, ("0", "1")) == "1"


def id_ranges(name: str, value: bytes) -> tuple[IdRange, ...]:
    """Read "HOST:CONTAINER:SIZE", repeated after colons or (escaped) commas.

    The form of fuse-overlayfs(1): stored identities from HOST on are shown from
    CONTAINER on.

    Raises:
        InvalidArgumentError: It has another form, or leaves the 32-bit range.
    """
    fields = unescape(value).replace(b",", b":").split(b":")
    if len(fields) % 3 or not all(map(_is_number, fields)):
        raise InvalidArgumentError(
            f"option {name}={_shown(value)} is not HOST:CONTAINER:SIZE[:...]"
        )
    numbers = [int(field) for field in fields]
    ranges = tuple(
        IdRange(*numbers[start : start + 3]) for start in range(0, len(numbers), 3)
    )
    for found in ranges:
        if not found.size or max(found.stored, found.shown) + found.size > _ALL_IDS:
            raise InvalidArgumentError(
                f"option {name}={_shown(value)} is empty or leaves the 32-bit range"
            )
    return ranges


def _shown(value: bytes) -> str:
    return value.decode(errors="backslashreplace")
