"""Traces: a span for each call that belongs to a trace of its caller's.

containerd sends the context of its own trace with each call (W3C Trace Context,
``traceparent``), where it traces. A call of a trace that is sampled becomes a span
below the caller's, and goes to a collector as OTLP over HTTP in JSON
(opentelemetry-proto ``docs/specification.md``, ``trace.proto``). All other calls cost
a look at their metadata. The collector is never waited for.
"""

from __future__ import annotations

import http.client
import json
import logging
import re
import secrets
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from snapfs.api.codes import Code
from snapfs.closing import Closing
from snapfs.errors import InvalidArgumentError
from snapfs.service.dispatch import Caller, Endpoints, StreamCall, UnaryCall
from snapfs.service.log import Origin
from snapfs.service.observing import true_code
from snapfs.service.status import StatusError

_log: Final = logging.getLogger(__name__)

# version-traceid-parentid-flags; later versions may add fields behind.
_PARENT: Final = re.compile(
    r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})"
)
_SAMPLED: Final = 1
_KIND_SERVER: Final = 2
_STATUS_ERROR: Final = 2

# More wait for no collector: the oldest are dropped.
_MOST_SPANS: Final = 4096
_BATCH: Final = 512
_INTERVAL_S: Final = 1.0
_TIMEOUT_S: Final = 5.0
_PATH: Final = "/v1/traces"


class Span(NamedTuple):
    """One call, as part of a trace; times in ns since the epoch."""

    trace_id: str
    span_id: str
    parent_id: str
    path: str
    start_ns: int
    end_ns: int
    code: Code
    namespace: str


class Tracer(Closing):
    """Collects spans and sends them on, in a thread of its own.

    Args:
        endpoint: The collector's address: ``http://HOST:PORT``, with a path or
            without, which then is ``/v1/traces``.
        version: Of snapfs.

    Raises:
        InvalidArgumentError: The address is none.
    """

    def __init__(self, endpoint: str, version: str) -> None:
        try:
            parts = urlsplit(endpoint)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidArgumentError(
                f"tracing.endpoint {endpoint!r} is not of the form http://HOST:PORT"
            )
        self._endpoint = endpoint
        self._is_tls = parts.scheme == "https"
        self._host, self._port = parts.hostname, port
        self._path = parts.path if parts.path.strip("/") else _PATH
        self._version = version
        self._spans: deque[Span] = deque(maxlen=_MOST_SPANS)
        self._is_failing = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tracer", daemon=True)
        self._thread.start()

    def record(self, span: Span) -> None:
        """Take a span, for a later batch; this never waits."""
        self._spans.append(span)

    def close(self) -> None:
        """Send what there is, once, and end the thread."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_INTERVAL_S):
            self._send_all()
        self._send_all()

    def _send_all(self) -> None:
        while self._spans:
            count = min(len(self._spans), _BATCH)
            batch = [self._spans.popleft() for _ in range(count)]
            try:
                self._send(batch)
            except (OSError, http.client.HTTPException) as error:
                if not self._is_failing:  # once for as long as it lasts
                    _log.warning(
                        "no traces to %s: %s; they are lost until it answers",
                        *(self._endpoint, error),
                    )
                self._is_failing = True
                return
            self._is_failing = False

    def _send(self, spans: Sequence[Span]) -> None:
        kind = http.client.HTTPSConnection if self._is_tls else None
        connect = kind or http.client.HTTPConnection
        connection = connect(self._host, self._port, timeout=_TIMEOUT_S)
        try:
            body = json.dumps(_document(spans, self._version)).encode()
            headers = {"content-type": "application/json"}
            connection.request("POST", self._path, body, headers)
            response = connection.getresponse()
            response.read()
            if response.status >= http.client.MULTIPLE_CHOICES:
                raise http.client.HTTPException(f"it answered {response.status}")
        finally:
            connection.close()


def traced(endpoints: Endpoints, tracer: Tracer) -> Endpoints:
    """Return ``endpoints`` whose calls become spans of their callers' traces."""
    return Endpoints(
        {
            path: _traced_unary(path, call, tracer)
            for path, call in endpoints.unary.items()
        },
        {
            path: _traced_stream(path, call, tracer)
            for path, call in endpoints.streams.items()
        },
    )


def parent_of(origin: Origin) -> tuple[str, str] | None:
    """Return the trace and the span that a call belongs to, if they are sampled."""
    match = _PARENT.match(origin.traceparent)
    if match is None:
        return None
    version, trace_id, span_id, flags = match.groups()
    is_valid = version != "ff" and trace_id.strip("0") and span_id.strip("0")
    if version == "00" and len(origin.traceparent) != match.end():
        return None
    return (trace_id, span_id) if is_valid and int(flags, 16) & _SAMPLED else None


def _traced_unary(path: str, call: UnaryCall, tracer: Tracer) -> UnaryCall:
    def answer(request: bytes, caller: Caller) -> bytes:
        origin = caller()
        parent = parent_of(origin)
        if parent is None:
            return call(request, caller)
        started_ns, code = time.time_ns(), Code.OK
        try:
            return call(request, caller)
        except StatusError as status:
            code = true_code(status)
            raise
        finally:
            tracer.record(_span(parent, path, started_ns, code, origin))

    return answer


def _traced_stream(path: str, call: StreamCall, tracer: Tracer) -> StreamCall:
    def answer(request: bytes, caller: Caller) -> Iterator[bytes | None]:
        origin = caller()
        parent = parent_of(origin)
        started_ns, code = time.time_ns(), Code.OK
        try:
            yield from call(request, caller)
        except GeneratorExit:
            code = Code.CANCELLED
            raise
        except StatusError as status:
            code = true_code(status)
            raise
        finally:
            if parent is not None:
                tracer.record(_span(parent, path, started_ns, code, origin))

    return answer


def _span(
    parent: tuple[str, str], path: str, started_ns: int, code: Code, origin: Origin
) -> Span:
    trace_id, parent_id = parent
    span_id = secrets.token_hex(8)
    return Span(
        *(trace_id, span_id, parent_id, path),
        *(started_ns, time.time_ns(), code, origin.namespace),
    )


def _document(spans: Sequence[Span], version: str) -> dict[str, object]:
    """Return an ExportTraceServiceRequest, as its JSON mapping has it."""
    return {
        "resourceSpans": [
            {
                "resource": {
                    "attributes": [
                        _attribute("service.name", "snapfs"),
                        _attribute("service.version", version),
                    ]
                },
                "scopeSpans": [
                    {
                        "scope": {"name": "snapfs", "version": version},
                        "spans": [_as_json(span) for span in spans],
                    }
                ],
            }
        ]
    }


def _as_json(span: Span) -> dict[str, object]:
    service, _, method = span.path.strip("/").partition("/")
    attributes = [
        _attribute("rpc.system", "grpc"),
        _attribute("rpc.service", service),
        _attribute("rpc.method", method),
        {"key": "rpc.grpc.status_code", "value": {"intValue": str(int(span.code))}},
    ]
    if span.namespace:
        attributes.append(_attribute("containerd.namespace", span.namespace))
    return {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "parentSpanId": span.parent_id,
        "name": span.path.strip("/"),
        "kind": _KIND_SERVER,
        "startTimeUnixNano": str(span.start_ns),
        "endTimeUnixNano": str(span.end_ns),
        "attributes": attributes,
        "status": {} if span.code is Code.OK else {"code": _STATUS_ERROR},
    }


def _attribute(key: str, value: str) -> dict[str, object]:
    return {"key": key, "value": {"stringValue": value}}
