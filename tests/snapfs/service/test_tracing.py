"""Spans: below their callers', for sampled traces alone, at no call's expense."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest

from snapfs.api import methods
from snapfs.api import snapshots_pb2 as pb
from snapfs.errors import InvalidArgumentError
from snapfs.service.log import Origin
from snapfs.service.server import Listener, Server
from snapfs.service.tracing import Tracer, parent_of
from support.memory_store import MemoryStore

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
SAMPLED = f"00-{TRACE}-{PARENT}-01"


class Collector:
    """An OpenTelemetry collector that keeps what it is sent."""

    def __init__(self, status: int = 200) -> None:
        self.documents: list[dict[str, Any]] = []
        self.paths: list[str] = []
        documents, paths = self.documents, self.paths

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers["content-length"])
                documents.append(json.loads(self.rfile.read(size)))
                paths.append(self.path)
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_words: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Collector:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def spans(self) -> list[dict[str, Any]]:
        return [
            span
            for document in self.documents
            for resource in document["resourceSpans"]
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        ]


@contextlib.contextmanager
def serving(place: Path, endpoint: str) -> Iterator[grpc.Channel]:
    """Serve with traces; at the end all that was traced is sent."""
    address = str(place / "s.sock")
    store = MemoryStore()
    store.prepare("known")
    with Tracer(endpoint, "1.2.3") as tracer:
        server = Server([Listener(address, store)], tracer=tracer)
        server.start()
        try:
            with grpc.insecure_channel(f"unix:{address}") as channel:
                yield channel
        finally:
            server.stop(30)


def call(channel: grpc.Channel, key: str, *metadata: tuple[str, str]) -> grpc.Call:
    method = channel.unary_unary(
        methods.STAT.path,
        request_serializer=pb.StatSnapshotRequest.SerializeToString,
        response_deserializer=pb.StatSnapshotResponse.FromString,
    )
    request = pb.StatSnapshotRequest(key=key)
    future = method.future(request, metadata=metadata, timeout=60)
    future.exception()  # waits; what it is the caller sees by its code
    return future


def list_all(channel: grpc.Channel, *metadata: tuple[str, str]) -> int:
    method = channel.unary_stream(
        methods.LIST.path,
        request_serializer=pb.ListSnapshotsRequest.SerializeToString,
        response_deserializer=pb.ListSnapshotsResponse.FromString,
    )
    return len(list(method(pb.ListSnapshotsRequest(), metadata=metadata, timeout=60)))


def attributes(span: dict[str, Any]) -> dict[str, str]:
    return {
        item["key"]: next(iter(item["value"].values())) for item in span["attributes"]
    }


def test_a_call_of_a_sampled_trace_is_a_span_below_its_caller(tmp_path: Path) -> None:
    before = time.time_ns()
    with Collector() as collector, serving(tmp_path, collector.endpoint) as channel:
        metadata = (("traceparent", SAMPLED), ("containerd-namespace", "k8s.io"))
        call(channel, "known", *metadata)
        call(channel, "unknown", *metadata)
        list_all(channel, *metadata)
    after = time.time_ns()

    spans = collector.spans()
    assert collector.paths[0] == "/v1/traces"
    assert [span["name"].rpartition("/")[2] for span in spans] == [
        *("Stat", "Stat", "List")
    ]
    for span in spans:
        assert (span["traceId"], span["parentSpanId"]) == (TRACE, PARENT)
        assert span["kind"] == 2
        start, end = (int(span[f"{which}TimeUnixNano"]) for which in ("start", "end"))
        assert before <= start <= end <= after
        assert attributes(span)["containerd.namespace"] == "k8s.io"
    assert len({span["spanId"] for span in spans}) == 3
    assert all(len(span["spanId"]) == 16 for span in spans)
    codes = [attributes(span)["rpc.grpc.status_code"] for span in spans]
    assert codes == ["0", "5", "0"]
    assert [span["status"] for span in spans] == [{}, {"code": 2}, {}]
    [resource] = collector.documents[0]["resourceSpans"]
    assert attributes(resource["resource"])["service.version"] == "1.2.3"


@pytest.mark.parametrize(
    "header",
    [
        pytest.param("", id="none"),
        pytest.param(f"00-{TRACE}-{PARENT}-00", id="not sampled"),
        pytest.param(f"ff-{TRACE}-{PARENT}-01", id="no version"),
        pytest.param(f"00-{'0' * 32}-{PARENT}-01", id="no trace"),
        pytest.param(f"00-{TRACE}-{'0' * 16}-01", id="no span"),
        pytest.param(f"00-{TRACE.upper()}-{PARENT}-01", id="upper case"),
        pytest.param(f"{SAMPLED}-more", id="too much"),
        pytest.param("x" * 5000, id="anything"),
    ],
)
def test_other_calls_are_answered_and_not_traced(tmp_path: Path, header: str) -> None:
    with Collector() as collector, serving(tmp_path, collector.endpoint) as channel:
        metadata = (("traceparent", header),) if header else ()
        done = call(channel, "known", *metadata)

    assert done.code() is grpc.StatusCode.OK
    assert collector.spans() == []


def test_a_later_version_may_say_more() -> None:
    origin = Origin(traceparent=f"01-{TRACE}-{PARENT}-03-more")

    assert parent_of(origin) == (TRACE, PARENT)


def test_many_spans_go_in_batches(tmp_path: Path) -> None:
    with Collector() as collector, serving(tmp_path, collector.endpoint) as channel:
        for _ in range(700):
            call(channel, "known", ("traceparent", SAMPLED))

    assert len(collector.spans()) == 700
    assert len(collector.documents) < 700


@pytest.mark.parametrize("answers", [False, True], ids=["nobody", "an error"])
def test_a_collector_that_fails_costs_no_call(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, answers: bool
) -> None:
    with Collector(500) as broken, socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with (
            caplog.at_level(logging.WARNING),
            serving(tmp_path, broken.endpoint if answers else endpoint) as channel,
        ):
            done = [call(channel, "known", ("traceparent", SAMPLED)) for _ in range(20)]

    assert {each.code() for each in done} == {grpc.StatusCode.OK}
    assert len([r for r in caplog.records if "no traces to" in r.message]) == 1


@pytest.mark.parametrize(
    "endpoint", ["collector:4318", "grpc://x:1", "http://", "http://x:y", ""]
)
def test_an_address_that_is_none_is_refused(endpoint: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"tracing\.endpoint"):
        Tracer(endpoint, "1")
