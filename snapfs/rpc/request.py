"""The headers of a request: checked, understood, kept.

RFC 9113, section 8, says what a well-formed request is; grpc/doc/PROTOCOL-HTTP2.md
(Requests) what gRPC makes of it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Final

from snapfs.rpc.calls import CallContext, Peer, Route
from snapfs.rpc.grpc_text import parsed_timeout
from snapfs.rpc.header_blocks import Fields
from snapfs.rpc.responses import METHOD_NOT_ALLOWED, UNSUPPORTED_MEDIA_TYPE
from snapfs.rpc.status import INTERNAL, UNIMPLEMENTED, RpcError

# RFC 9113, 8.2.1: no upper case, no control characters or blanks, nothing above
# ASCII; a colon only at the beginning of a pseudo-header.
_NAME: Final = re.compile(rb":?[!-9;-@\[-~]+")
# No NUL, line feed or carriage return; no blank at either end.
_VALUE: Final = re.compile(rb"(?:[^\0\n\r\t ](?:[^\0\n\r]*[^\0\n\r\t ])?)?")

_LENGTH: Final = re.compile(rb"[0-9]{1,18}")

# RFC 9113, 8.2.2: what belongs to one connection of HTTP/1.1.
_CONNECTION_FIELDS: Final = frozenset(
    b"connection proxy-connection keep-alive transfer-encoding upgrade".split()
)
_PSEUDO: Final = frozenset((b":method", b":scheme", b":path", b":authority"))
_NEEDED: Final = (b":method", b":scheme", b":path")

_CONTENT_TYPE: Final = b"application/grpc"


@dataclasses.dataclass(frozen=True, slots=True)
class RequestHead:
    """What the headers of a request say.

    At most one of ``malformed``, ``http_status`` and ``failure`` is set, and
    ``route`` only if none is.

    Attributes:
        malformed: The rule of HTTP/2 that it breaks; "": none.
        is_trailers: It may stand after the content of a request, as ``malformed``
            requests may.
        http_status: Of the refusal of what is HTTP, but not gRPC; 0: it is gRPC.
        failure: Why the call fails before it begins.
        route: What answers it.
        context: What the handler gets.
        timeout_s: The caller's patience; None: it has said nothing.
        content_length: How many bytes of DATA it announces; None: it does not.
    """

    malformed: str = ""
    is_trailers: bool = False
    http_status: int = 0
    failure: RpcError | None = None
    route: Route | None = None
    context: CallContext | None = None
    timeout_s: float | None = None
    content_length: int | None = None


class RequestParser:
    """Makes a :class:`RequestHead` of the fields of one connection's requests."""

    def __init__(self, routes: Mapping[str, Route], peer: Peer) -> None:
        self._routes = routes
        self._peer = peer

    def __call__(self, fields: Fields) -> RequestHead:
        """Return what ``fields`` say; nothing is raised."""
        if malformed := _malformed(fields):
            return RequestHead(malformed=malformed, is_trailers=_is_trailers(fields))
        values: dict[bytes, bytes] = {}
        for name, value in fields:
            values.setdefault(name, value)
        if status := _http_status(values):
            return RequestHead(http_status=status)
        return self._grpc_head(values)

    def _grpc_head(self, values: dict[bytes, bytes]) -> RequestHead:
        path = values[b":path"].decode("latin-1")
        length = values.get(b"content-length")
        content_length = int(length) if length is not None else None
        timeout = values.get(b"grpc-timeout")
        timeout_s = parsed_timeout(timeout) if timeout is not None else None
        route = self._routes.get(path)
        failure: RpcError | None = None
        if timeout is not None and timeout_s is None:
            failure = RpcError(INTERNAL, f"malformed grpc-timeout {timeout!r}")
        elif route is None:
            failure = RpcError(UNIMPLEMENTED, f"unknown method {path}")
        metadata = tuple(
            (name, value)
            for name, value in values.items()
            if not name.startswith((b":", b"grpc-")) and not name.endswith(b"-bin")
        )
        return RequestHead(
            failure=failure,
            route=None if failure else route,
            context=CallContext(path, self._peer, metadata),
            timeout_s=timeout_s,
            content_length=content_length,
        )


def _is_trailers(fields: Fields) -> bool:
    """Return whether fields may stand after the content (RFC 9113, 8.1)."""
    return not _malformed_field(fields) and not any(
        name.startswith(b":") for name, _ in fields
    )


def _malformed(fields: Fields) -> str:
    """Return the rule that a request breaks, or ""."""
    return _malformed_field(fields) or _malformed_pseudo(fields) or _bad_length(fields)


def _malformed_field(fields: Fields) -> str:
    for name, value in fields:
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            return f"the field {name!r} has a character that is not allowed"
        if name in _CONNECTION_FIELDS or (name == b"te" and value != b"trailers"):
            return f"{name!r} is a field of another version of HTTP"
    return ""


def _malformed_pseudo(fields: Fields) -> str:
    seen: dict[bytes, bytes] = {}
    is_after = False
    for name, value in fields:
        if not name.startswith(b":"):
            is_after = True
        elif is_after or name not in _PSEUDO or name in seen:
            return f"{name!r} is unknown, twice there or behind a field"
        else:
            seen[name] = value
    if not all(seen.get(name) for name in _NEEDED):
        return "method, scheme or path is missing"
    return ""


def _bad_length(fields: Fields) -> str:
    lengths = [value for name, value in fields if name == b"content-length"]
    if lengths and (len(set(lengths)) > 1 or not _LENGTH.fullmatch(lengths[0])):
        return "content-length is no length"
    return ""


def _http_status(values: Mapping[bytes, bytes]) -> int:
    """Return the HTTP status that a request is refused with, 0 if it is gRPC."""
    if values[b":method"] != b"POST":
        return METHOD_NOT_ALLOWED
    kind = values.get(b"content-type", b"")
    if kind.startswith(_CONTENT_TYPE) and kind[len(_CONTENT_TYPE) :][:1] in b"+;":
        return 0
    return UNSUPPORTED_MEDIA_TYPE
