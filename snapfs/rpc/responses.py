"""Responses as bytes, put together from constants.

grpc/doc/PROTOCOL-HTTP2.md, Responses: headers, messages and trailers, or trailers
alone if a call fails before its first message.
"""

from __future__ import annotations

import struct
from typing import Final

from snapfs.rpc.frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    frame,
)
from snapfs.rpc.grpc_text import encoded_message
from snapfs.rpc.header_blocks import NO_TABLE, literal
from snapfs.rpc.status import UNIMPLEMENTED

# Indexed :status 200, and content-type (31 in the static table) as a literal without
# indexing (RFC 7541, 6.1, 6.2.2 and appendix A).
_HEADER_BLOCK: Final = NO_TABLE + b"\x88\x0f\x10\x10application/grpc"
_OK_BLOCK: Final = NO_TABLE + literal(b"grpc-status", b"0")

METHOD_NOT_ALLOWED: Final = 405
UNSUPPORTED_MEDIA_TYPE: Final = 415

_STREAM: Final = struct.Struct(">I")
# Length of the frame in two parts, type, flags, stream, compressed, length.
_DATA_HEAD: Final = struct.Struct(">HBBBIBI")

_HEADERS_START: Final = frame(HEADERS, END_HEADERS, 0, _HEADER_BLOCK)[:5]
_TRAILERS_START: Final = frame(HEADERS, END_HEADERS | END_STREAM, 0, _OK_BLOCK)[:5]


def headers(stream_id: int) -> bytes:
    """Return the headers before the first message."""
    return _HEADERS_START + _STREAM.pack(stream_id) + _HEADER_BLOCK


def ok_trailers(stream_id: int) -> bytes:
    """Return the trailers after the last message of a call that succeeded."""
    return _TRAILERS_START + _STREAM.pack(stream_id) + _OK_BLOCK


def message(stream_id: int, content: bytes) -> bytes:
    """Return one DATA frame with one message, which must fit in it."""
    size = len(content) + 5
    head = _DATA_HEAD.pack(size >> 8, size & 0xFF, DATA, 0, stream_id, 0, len(content))
    return head + content


def unary(stream_id: int, content: bytes) -> bytes:
    """Return a whole response with one message, which must fit in a frame."""
    stream = _STREAM.pack(stream_id)
    size = len(content) + 5
    return b"".join(
        (
            _HEADERS_START,
            stream,
            _HEADER_BLOCK,
            _DATA_HEAD.pack(
                size >> 8, size & 0xFF, DATA, 0, stream_id, 0, len(content)
            ),
            content,
            _TRAILERS_START,
            stream,
            _OK_BLOCK,
        )
    )


def failure(stream_id: int, code: int, text: str, *, begun: bool = False) -> bytes:
    """Return the end of a call that failed.

    Args:
        stream_id: The stream.
        code: gRPC's number.
        text: What the client reads.
        begun: Whether headers were already sent.
    """
    block = NO_TABLE if begun else _HEADER_BLOCK
    block += literal(b"grpc-status", b"%d" % code)
    if text:
        block += literal(b"grpc-message", encoded_message(text))
    if code == UNIMPLEMENTED:
        # Asked for when a message was compressed (Compression in the same document);
        # true in any case.
        block += literal(b"grpc-accept-encoding", b"identity")
    return frame(HEADERS, END_HEADERS | END_STREAM, stream_id, block)


def http_error(stream_id: int, status: int) -> bytes:
    """Return the refusal of a request that is not gRPC."""
    # :status is 8 in the static table; a literal, because most codes are not there.
    block = NO_TABLE + b"\x08\x03%d" % status
    if status == METHOD_NOT_ALLOWED:  # must say what is allowed (RFC 9110, 15.5.6)
        block += literal(b"allow", b"POST")
    return frame(HEADERS, END_HEADERS | END_STREAM, stream_id, block)
