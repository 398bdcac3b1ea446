"""Values of gRPC's own headers (grpc/doc/PROTOCOL-HTTP2.md)."""

from __future__ import annotations

import re
from typing import Final

# TimeoutValue is at most eight digits; the units in seconds.
_TIMEOUT: Final = re.compile(rb"([0-9]{1,8})([HMSmun])")
_UNITS_S: Final = {
    b"H": 3600.0,
    b"M": 60.0,
    b"S": 1.0,
    b"m": 1e-3,
    b"u": 1e-6,
    b"n": 1e-9,
}
_LARGEST_TIMEOUT: Final = 99_999_999

# Percent-Byte-Unencoded: what stands for itself in grpc-message.
_PLAIN: Final = frozenset(range(0x20, 0x7F)) - {0x25}
_ENCODED: Final = [
    bytes((byte,)) if byte in _PLAIN else b"%%%02X" % byte for byte in range(256)
]
_NEEDS_ENCODING: Final = re.compile(rb"[^\x20-\x24\x26-\x7e]")
_PERCENT_BYTE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")

# With the other headers this stays below the 8 KiB that gRPC's C core takes for the
# headers of one block, and in one frame of the smallest permitted size.
_MAX_MESSAGE: Final = 7168


def parsed_timeout(value: bytes) -> float | None:
    """Return the seconds of a grpc-timeout header; None: it cannot be read."""
    match = _TIMEOUT.fullmatch(value)
    return int(match[1]) * _UNITS_S[match[2]] if match else None


def timeout_text(seconds: float) -> bytes:
    """Return a grpc-timeout header, rounded up so that it is never zero."""
    micros = max(1, int(seconds * 1e6) + 1)
    if micros <= _LARGEST_TIMEOUT:
        return b"%du" % micros
    millis = int(seconds * 1e3) + 1
    if millis <= _LARGEST_TIMEOUT:
        return b"%dm" % millis
    return b"%dS" % min(int(seconds) + 1, _LARGEST_TIMEOUT)


def encoded_message(message: str) -> bytes:
    """Return a grpc-message header: UTF-8, percent-encoded, cut where it is long."""
    raw = message.encode("utf-8", "replace")
    if len(raw) <= _MAX_MESSAGE and not _NEEDS_ENCODING.search(raw):
        return raw
    parts: list[bytes] = []
    room = _MAX_MESSAGE
    for character in message:
        part = b"".join(_ENCODED[b] for b in character.encode("utf-8", "replace"))
        room -= len(part)
        if room < 0:
            break
        parts.append(part)
    return b"".join(parts)


def decoded_message(value: bytes) -> str:
    """Return the text of a grpc-message header; what is not encoded stays as it is."""
    raw = _PERCENT_BYTE.sub(lambda match: bytes.fromhex(match[1].decode()), value)
    return raw.decode("utf-8", "replace")
