"""HTTP/2 frames as bytes (RFC 9113, sections 4 and 6)."""

from __future__ import annotations

import enum
import struct
from collections.abc import Mapping
from typing import Final

# What a client sends first (RFC 9113, 3.4).
PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

# Length (24 bits, in two parts), type, flags, stream (RFC 9113, 4.1).
HEAD: Final = struct.Struct(">HBBBI")
HEAD_SIZE: Final = HEAD.size

# The types (RFC 9113, 6); plain numbers, because each frame is compared with them.
DATA: Final = 0
HEADERS: Final = 1
PRIORITY: Final = 2
RST_STREAM: Final = 3
SETTINGS: Final = 4
PUSH_PROMISE: Final = 5
PING: Final = 6
GOAWAY: Final = 7
WINDOW_UPDATE: Final = 8
CONTINUATION: Final = 9

END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
PRIORITIZED: Final = 0x20

# The high bit of a stream's number and of a window's growth is reserved.
MAX_31_BITS: Final = 0x7FFFFFFF

# Initial values of settings (RFC 9113, 6.5.2).
DEFAULT_WINDOW: Final = 65535
DEFAULT_FRAME_SIZE: Final = 16384
_LARGEST_FRAME_SIZE: Final = (1 << 24) - 1

_SETTING: Final = struct.Struct(">HI")
_TWO_WORDS: Final = struct.Struct(">II")
_WORD: Final = struct.Struct(">I")

SETTINGS_ACK: Final = b"\0\0\0\x04\x01\0\0\0\0"


class Setting(enum.IntEnum):
    """Settings (RFC 9113, 6.5.2)."""

    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6


class ErrorCode(enum.IntEnum):
    """Why a stream or a connection ended (RFC 9113, 7)."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


def error_name(code: int) -> str:
    """Return the name of an error code, or its number; unknown ones are permitted."""
    try:
        return ErrorCode(code).name
    except ValueError:
        return str(code)


class ConnectionFault(Exception):  # noqa: N818 - the RFC's "connection error"
    """The peer broke a rule; the connection ends (RFC 9113, 5.4.1)."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message


class StreamFault(Exception):  # noqa: N818 - the RFC's "stream error"
    """The peer broke a rule; one stream ends (RFC 9113, 5.4.2)."""

    def __init__(self, stream_id: int, code: ErrorCode, message: str) -> None:
        super().__init__(f"stream {stream_id}: {code.name}: {message}")
        self.stream_id = stream_id
        self.code = code


def frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    """Return one frame."""
    size = len(payload)
    return HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream_id) + payload


def settings(values: Mapping[Setting, int]) -> bytes:
    """Return a SETTINGS frame (RFC 9113, 6.5)."""
    payload = b"".join(_SETTING.pack(key, value) for key, value in values.items())
    return frame(SETTINGS, 0, 0, payload)


def ping_ack(payload: bytes) -> bytes:
    """Return the answer to a PING (RFC 9113, 6.7)."""
    return frame(PING, ACK, 0, payload)


def rst_stream(stream_id: int, code: ErrorCode) -> bytes:
    """Return a RST_STREAM frame (RFC 9113, 6.4)."""
    return frame(RST_STREAM, 0, stream_id, _WORD.pack(code))


def goaway(last_stream_id: int, code: ErrorCode, message: str = "") -> bytes:
    """Return a GOAWAY frame (RFC 9113, 6.8)."""
    payload = _TWO_WORDS.pack(last_stream_id, code) + message.encode()
    return frame(GOAWAY, 0, 0, payload)


def window_update(stream_id: int, growth: int) -> bytes:
    """Return a WINDOW_UPDATE frame (RFC 9113, 6.9)."""
    return frame(WINDOW_UPDATE, 0, stream_id, _WORD.pack(growth))


def parsed_word(payload: bytes, kind: str) -> int:
    """Return the 32 bits that are all of a RST_STREAM or WINDOW_UPDATE frame."""
    if len(payload) != _WORD.size:
        raise ConnectionFault(
            ErrorCode.FRAME_SIZE_ERROR, f"{kind} of {len(payload)} bytes"
        )
    return int.from_bytes(payload, "big")


def parsed_goaway(payload: bytes) -> tuple[int, int, str]:
    """Return last stream, code and message of a GOAWAY frame."""
    if len(payload) < _TWO_WORDS.size:
        raise ConnectionFault(
            ErrorCode.FRAME_SIZE_ERROR, f"GOAWAY of {len(payload)} bytes"
        )
    last, code = _TWO_WORDS.unpack_from(payload)
    text = payload[_TWO_WORDS.size :].decode("utf-8", "replace")
    return last & MAX_31_BITS, code, text


def parsed_settings(payload: bytes) -> list[tuple[int, int]]:
    """Return the settings of a frame in order, each one checked.

    Unknown ones are among them; they are to be ignored (RFC 9113, 6.5.2).
    """
    if len(payload) % _SETTING.size:
        raise ConnectionFault(
            ErrorCode.FRAME_SIZE_ERROR, f"SETTINGS of {len(payload)} bytes"
        )
    pairs = list(_SETTING.iter_unpack(payload))
    for key, value in pairs:
        _check_setting(key, value)
    return pairs


def unpadded(flags: int, payload: bytes) -> bytes:
    """Return a HEADERS or DATA payload without its padding (RFC 9113, 6.1)."""
    if not flags & PADDED:
        return payload
    if not payload:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "no room for the padding")
    if payload[0] >= len(payload):
        raise ConnectionFault(
            ErrorCode.PROTOCOL_ERROR, "the padding is as long as its frame"
        )
    return payload[1 : len(payload) - payload[0]]


def _check_setting(key: int, value: int) -> None:
    if key == Setting.ENABLE_PUSH and value > 1:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"ENABLE_PUSH is {value}")
    if key == Setting.INITIAL_WINDOW_SIZE and value > MAX_31_BITS:
        raise ConnectionFault(
            ErrorCode.FLOW_CONTROL_ERROR, f"INITIAL_WINDOW_SIZE is {value}"
        )
    if key == Setting.MAX_FRAME_SIZE and not (
        DEFAULT_FRAME_SIZE <= value <= _LARGEST_FRAME_SIZE
    ):
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"MAX_FRAME_SIZE is {value}")
