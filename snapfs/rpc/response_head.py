"""The headers and trailers of a response, as a client understands them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Final

from snapfs.rpc.frames import ErrorCode, error_name
from snapfs.rpc.grpc_text import decoded_message
from snapfs.rpc.header_blocks import Fields
from snapfs.rpc.status import (
    CANCELLED,
    INTERNAL,
    PERMISSION_DENIED,
    RESOURCE_EXHAUSTED,
    UNAUTHENTICATED,
    UNAVAILABLE,
    UNIMPLEMENTED,
    UNKNOWN,
    RpcError,
)

_HTTP_OK: Final = 200

# grpc/doc/http-grpc-status-mapping.md; all others are UNKNOWN.
_HTTP_CODES: Final = {
    400: INTERNAL,
    401: UNAUTHENTICATED,
    403: PERMISSION_DENIED,
    404: UNIMPLEMENTED,
    429: UNAVAILABLE,
    502: UNAVAILABLE,
    503: UNAVAILABLE,
    504: UNAVAILABLE,
}

# grpc/doc/PROTOCOL-HTTP2.md, Errors; all others are INTERNAL.
_RESET_CODES: Final[dict[int, int]] = {
    ErrorCode.REFUSED_STREAM: UNAVAILABLE,
    ErrorCode.CANCEL: CANCELLED,
    ErrorCode.ENHANCE_YOUR_CALM: RESOURCE_EXHAUSTED,
    ErrorCode.INADEQUATE_SECURITY: PERMISSION_DENIED,
}


class UnprocessedError(RpcError):
    """A call failed that the server has not begun; it may be made again."""


@dataclasses.dataclass(frozen=True, slots=True)
class ResponseHead:
    """What headers or trailers say.

    Attributes:
        http_status: 0 in trailers.
        is_grpc: Whether the content is gRPC's.
        grpc_status: None: they do not say how the call ended.
        message: Why it failed.
    """

    http_status: int
    is_grpc: bool
    grpc_status: int | None
    message: str

    @property
    def is_informational(self) -> bool:
        """Whether the headers of the response are yet to come (RFC 9113, 8.1)."""
        return 100 <= self.http_status < _HTTP_OK

    def error_of_headers(self) -> RpcError | None:
        """Return what is wrong with headers that precede content."""
        if self.http_status != _HTTP_OK:
            code = _HTTP_CODES.get(self.http_status, UNKNOWN)
            return RpcError(code, f"the server answered HTTP {self.http_status}")
        if not self.is_grpc:
            return RpcError(UNKNOWN, "the server does not speak gRPC")
        return None

    def outcome(self) -> RpcError | None:
        """Return how the call ended, None if well, of headers that end it."""
        if self.grpc_status is None:
            error = self.error_of_headers() if self.http_status else None
            return error or RpcError(UNKNOWN, "the response has no status")
        if self.grpc_status:
            return RpcError(self.grpc_status, self.message)
        return None


def parsed_response(fields: Fields) -> ResponseHead:
    """Return what ``fields`` say; what makes no sense is taken for missing."""
    values: Mapping[bytes, bytes] = dict(fields)
    http_status = _number(values.get(b":status", b"0"))
    grpc_status = values.get(b"grpc-status")
    return ResponseHead(
        http_status=http_status if http_status is not None else 0,
        is_grpc=values.get(b"content-type", b"").startswith(b"application/grpc"),
        grpc_status=_number(grpc_status) if grpc_status is not None else None,
        message=decoded_message(values.get(b"grpc-message", b"")),
    )


def error_of_reset(code: int) -> RpcError:
    """Return what a RST_STREAM means to the caller."""
    if code == ErrorCode.REFUSED_STREAM:
        return UnprocessedError(UNAVAILABLE, "the server refused the call")
    status = _RESET_CODES.get(code, INTERNAL)
    return RpcError(status, f"the server ended the call: {error_name(code)}")


def _number(value: bytes) -> int | None:
    return int(value) if value.isdigit() and len(value) <= 9 else None
