"""The client, against our server and against grpcio's."""

from __future__ import annotations

import gc
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest

from snapfs.rpc import frames
from snapfs.rpc.calls import CallContext, Handler, Peer, StreamHandler
from snapfs.rpc.client import RpcClient
from snapfs.rpc.frames import ErrorCode
from snapfs.rpc.server import listen
from snapfs.rpc.status import (
    CANCELLED,
    DEADLINE_EXCEEDED,
    INTERNAL,
    RESOURCE_EXHAUSTED,
    UNAVAILABLE,
    UNIMPLEMENTED,
    UNKNOWN,
    RpcError,
)
from support.rpc import (
    PATIENCE_S,
    Wire,
    count,
    echo,
    message,
    serving,
    threads_of_rpc,
)

LIMIT = 16 << 20


def fail(request: bytes, _: CallContext) -> bytes:
    raise RpcError(5, "snapshot 'ä\n%41' is gone: not found")


def fail_late(request: bytes, _: CallContext) -> Iterator[bytes]:
    yield b"first"
    raise RpcError(9, "no more")


class Endless:
    """A stream without end, that tells when it was closed."""

    def __init__(self) -> None:
        self.closed = threading.Event()

    def __call__(self, request: bytes, _: CallContext) -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * 1000
        finally:
            self.closed.set()


def wait_for_deadline(request: bytes, context: CallContext) -> bytes:
    STUCK.wait(PATIENCE_S)
    return b""


STUCK = threading.Event()
ENDLESS = Endless()
UNARY: dict[str, Handler] = {
    "/t.T/Inline": echo,
    "/t.T/Pool": echo,
    "/t.T/Fail": fail,
    "/t.T/Stuck": wait_for_deadline,
}
STREAMS: dict[str, StreamHandler] = {
    "/t.T/Count": count,
    "/t.T/FailLate": fail_late,
    "/t.T/Endless": ENDLESS,
}


def grpcio_server(path: str) -> tuple[grpc.Server, futures.ThreadPoolExecutor]:
    """Serve the same handlers with grpcio; they need no context."""
    context_of_ours = CallContext("", Peer(0, 0, 0), ())

    def unary(handler: Handler) -> grpc.RpcMethodHandler:
        def behave(request: bytes, context: grpc.ServicerContext) -> bytes:
            try:
                return handler(request, context_of_ours)
            except RpcError as error:
                raise _aborted(context, error) from error

        return grpc.unary_unary_rpc_method_handler(behave)

    def streaming(handler: StreamHandler) -> grpc.RpcMethodHandler:
        def behave(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
            try:
                messages = handler(request, context_of_ours)
                yield from (one for one in messages if one is not None)
            except RpcError as error:
                raise _aborted(context, error) from error

        return grpc.unary_stream_rpc_method_handler(behave)

    handlers = {path: unary(handler) for path, handler in UNARY.items()}
    handlers |= {path: streaming(handler) for path, handler in STREAMS.items()}
    by_name = {path.rpartition("/")[2]: handlers[path] for path in handlers}
    pool = futures.ThreadPoolExecutor(60)
    options = (
        ("grpc.max_receive_message_length", LIMIT),
        ("grpc.max_send_message_length", LIMIT),
    )
    server = grpc.server(pool, options=options)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("t.T", by_name),)
    )
    server.add_insecure_port(f"unix:{path}")
    server.start()
    return server, pool


def _aborted(context: grpc.ServicerContext, error: RpcError) -> AssertionError:
    by_number = {code.value[0]: code for code in grpc.StatusCode}
    context.abort(by_number[error.code], error.message)
    return AssertionError("abort always raises")


@pytest.fixture(params=["ours", "grpcio"])
def path(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    STUCK.clear()
    ENDLESS.closed.clear()
    if request.param == "ours":
        with serving(tmp_path / "s", UNARY, STREAMS):
            yield str(tmp_path / "s")
            STUCK.set()
        return
    server, pool = grpcio_server(str(tmp_path / "s"))
    try:
        yield str(tmp_path / "s")
    finally:
        STUCK.set()
        server.stop(None).wait()
        pool.shutdown()


@pytest.fixture
def client(path: str) -> Iterator[RpcClient]:
    with RpcClient(path) as client:
        yield client
    assert "snapfs-rpc-client" not in threads_of_rpc()


@pytest.mark.parametrize("name", ["Inline", "Pool"])
@pytest.mark.parametrize(
    "size", [0, 1, 16379, 16380, 65530, 65531, 1 << 20, LIMIT - 1, LIMIT]
)
def test_message_of_any_size_comes_back(
    client: RpcClient, name: str, size: int
) -> None:
    request = bytes(size)

    assert client.call(f"/t.T/{name}", request, PATIENCE_S) == request


@pytest.mark.parametrize("items", [0, 1, 10_000])
def test_stream_comes_whole_and_in_order(client: RpcClient, items: int) -> None:
    got = list(client.stream("/t.T/Count", b"%d" % items, PATIENCE_S))

    assert got == [b"%d" % number for number in range(items)]


def test_failure_arrives_word_for_word(client: RpcClient) -> None:
    with pytest.raises(RpcError) as caught:
        client.call("/t.T/Fail", b"")

    assert caught.value.code == 5
    assert caught.value.message == "snapshot 'ä\n%41' is gone: not found"


def test_failure_within_a_stream_comes_behind_its_items(client: RpcClient) -> None:
    responses = client.stream("/t.T/FailLate", b"")

    first = next(responses)
    with pytest.raises(RpcError, match="no more"):
        next(responses)

    assert first == b"first"
    assert next(responses, None) is None


def test_unknown_method_is_unimplemented(client: RpcClient) -> None:
    with pytest.raises(RpcError) as caught:
        client.call("/t.T/Nope", bytes(LIMIT))

    assert caught.value.code == UNIMPLEMENTED


def test_answer_in_time_or_none(client: RpcClient) -> None:
    with pytest.raises(RpcError) as caught:
        client.call("/t.T/Stuck", b"", 0.05)

    assert caught.value.code == DEADLINE_EXCEEDED
    assert client.call("/t.T/Inline", b"next", PATIENCE_S) == b"next"


def test_closed_stream_stops_its_server(client: RpcClient) -> None:
    with client.stream("/t.T/Endless", b"") as responses:
        first = next(responses)

    assert len(first) == 1000
    assert ENDLESS.closed.wait(PATIENCE_S)
    assert client.call("/t.T/Inline", b"next") == b"next"


def test_dropped_stream_stops_its_server(client: RpcClient) -> None:
    responses = client.stream("/t.T/Endless", b"")
    next(responses)

    del responses
    gc.collect()

    assert ENDLESS.closed.wait(PATIENCE_S)


def test_reader_that_stops_holds_up_nobody_else(client: RpcClient) -> None:
    with client.stream("/t.T/Endless", b"") as responses:
        next(responses)

        assert client.call("/t.T/Inline", bytes(1 << 20)) == bytes(1 << 20)
        assert len(list(client.stream("/t.T/Count", b"1000"))) == 1000
        for _ in range(5000):  # more than the windows hold
            assert len(next(responses)) == 1000


def test_fifty_threads_share_a_client(client: RpcClient) -> None:
    def ask(number: int) -> bool:
        if number % 10 == 0:
            return len(list(client.stream("/t.T/Count", b"100"))) == 100
        name = "Inline" if number % 2 else "Pool"
        request = b"%d" % number * (number % 7 * 1000)
        return client.call(f"/t.T/{name}", request, PATIENCE_S) == request

    with futures.ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(ask, range(1000)))

    assert all(answers)


def test_more_calls_than_the_server_takes_wait_for_a_place(tmp_path: Path) -> None:
    waiting = threading.Semaphore(0)
    may_end = threading.Event()

    def slow(request: bytes, _: CallContext) -> bytes:
        waiting.release()
        may_end.wait()
        return request

    with (
        serving(tmp_path / "s", {"/t.T/Slow": slow}, workers=300),
        RpcClient(str(tmp_path / "s")) as client,
        futures.ThreadPoolExecutor(300) as threads,
    ):
        requests = [b"%d" % number for number in range(300)]
        answers = threads.map(lambda r: client.call("/t.T/Slow", r), requests)
        started = [waiting.acquire(timeout=PATIENCE_S) for _ in range(256)]
        may_end.set()
        got = list(answers)

    assert all(started)
    assert got == requests


def test_closed_client_refuses_calls(tmp_path: Path) -> None:
    with serving(tmp_path / "s"):
        client = RpcClient(str(tmp_path / "s"))
        client.call("/t.T/Inline", b"")
        client.close()
        client.close()
        with pytest.raises(RpcError) as caught:
            client.call("/t.T/Inline", b"")

    assert caught.value.code == CANCELLED


def test_closing_ends_calls_under_way(tmp_path: Path) -> None:
    begun = threading.Event()
    may_end = threading.Event()

    def slow(request: bytes, _: CallContext) -> bytes:
        begun.set()
        may_end.wait()
        return b""

    with (
        serving(tmp_path / "s", {"/t.T/Slow": slow}),
        futures.ThreadPoolExecutor() as threads,
    ):
        client = RpcClient(str(tmp_path / "s"))
        call = threads.submit(client.call, "/t.T/Slow", b"")
        begun.wait(PATIENCE_S)
        client.close()
        error = call.exception(PATIENCE_S)
        may_end.set()

    assert isinstance(error, RpcError)
    assert error.message == "the client was closed"


def test_nobody_there_is_unavailable_and_somebody_later_is_found(
    tmp_path: Path,
) -> None:
    path = tmp_path / "s"
    with RpcClient(str(path)) as client:
        with pytest.raises(RpcError, match="No such file") as missing:
            client.call("/t.T/Inline", b"")
        with serving(path):
            first = client.call("/t.T/Inline", b"1")
        with pytest.raises(RpcError, match="refused") as refused:
            client.call("/t.T/Inline", b"")
        path.unlink()
        with serving(path):
            second = client.call("/t.T/Inline", b"2")

    assert missing.value.code == UNAVAILABLE
    assert refused.value.code == UNAVAILABLE
    assert (first, second) == (b"1", b"2")


def test_import_is_free_of_heavy_modules() -> None:
    program = (
        "import sys, snapfs.rpc.client;"
        "print({'grpc', 'google.protobuf', 'asyncio', 'concurrent.futures'}"
        " & set(sys.modules))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "set()"


class Puppet:
    """A server that says what it is told to, on one connection after the other."""

    def __init__(self, path: Path) -> None:
        self.listener = listen(str(path))
        self.listener.settimeout(PATIENCE_S)

    def accept(self) -> Wire:
        sock, _ = self.listener.accept()
        wire = Wire(sock)
        preface = sock.recv(len(frames.PREFACE), socket.MSG_WAITALL)
        assert preface == frames.PREFACE
        wire.send(frames.settings({}))
        return wire

    def accept_request(self) -> tuple[Wire, int]:
        wire = self.accept()
        while not (frame := wire.read_kind(frames.HEADERS, frames.DATA)).ends:
            if frame.kind == frames.HEADERS:
                wire.read_fields(frame)
        return wire, frame.stream_id


OK_HEADERS = [(":status", "200"), ("content-type", "application/grpc")]
OK_TRAILERS = [("grpc-status", "0")]


def answered(
    tmp_path: Path, make: Callable[[Wire, int], bytes]
) -> tuple[bytes | None, RpcError | None]:
    """Return what a client makes of an answer: its response or its error."""
    puppet = Puppet(tmp_path / "s")
    with (
        puppet.listener,
        RpcClient(str(tmp_path / "s"), max_message_bytes=1 << 20) as client,
        futures.ThreadPoolExecutor() as threads,
    ):
        call = threads.submit(client.call, "/t.T/X", b"", PATIENCE_S)
        wire, stream_id = puppet.accept_request()
        with wire:
            wire.send(make(wire, stream_id))
            error = call.exception(PATIENCE_S)
    if error is None:
        return call.result(), None
    assert isinstance(error, RpcError)
    return None, error


@pytest.mark.parametrize(
    ("make", "code", "text"),
    [
        pytest.param(
            lambda w, i: w.headers(i, [(":status", "503")], ends=True),
            UNAVAILABLE,
            "the server answered HTTP 503",
            id="an HTTP error",
        ),
        pytest.param(
            lambda w, i: w.headers(i, [(":status", "404")]),
            UNIMPLEMENTED,
            "the server answered HTTP 404",
            id="an HTTP error with content to come",
        ),
        pytest.param(
            lambda w, i: w.headers(
                i, [(":status", "200"), ("content-type", "text/html")]
            ),
            UNKNOWN,
            "the server does not speak gRPC",
            id="a page",
        ),
        pytest.param(
            lambda w, i: w.headers(i, OK_HEADERS) + w.data(i, message()),
            INTERNAL,
            "the response has no trailers",
            id="no trailers",
        ),
        pytest.param(
            lambda w, i: (
                w.headers(i, OK_HEADERS) + w.headers(i, [("a", "b")], ends=True)
            ),
            UNKNOWN,
            "the response has no status",
            id="no status",
        ),
        pytest.param(
            lambda w, i: (
                w.headers(i, OK_HEADERS) + w.headers(i, OK_TRAILERS, ends=True)
            ),
            INTERNAL,
            "/t.T/X did not give exactly one response",
            id="no message",
        ),
        pytest.param(
            lambda w, i: (
                w.headers(i, OK_HEADERS)
                + w.data(i, message() * 2, ends=False)
                + w.headers(i, OK_TRAILERS, ends=True)
            ),
            INTERNAL,
            "/t.T/X did not give exactly one response",
            id="two messages",
        ),
        pytest.param(
            lambda w, i: (
                w.headers(i, OK_HEADERS)
                + w.data(i, message(b"abc")[:-1], ends=False)
                + w.headers(i, OK_TRAILERS, ends=True)
            ),
            INTERNAL,
            "the stream ended in the middle of a message",
            id="half a message",
        ),
        pytest.param(
            lambda w, i: (
                w.headers(i, OK_HEADERS)
                + w.data(i, b"\0" + (1 << 21).to_bytes(4, "big"), ends=False)
            ),
            RESOURCE_EXHAUSTED,
            "a message of 2097152 bytes is longer than 1048576",
            id="a message beyond the limit",
        ),
        pytest.param(
            lambda _, i: frames.rst_stream(i, ErrorCode.CANCEL),
            CANCELLED,
            "the server ended the call: CANCEL",
            id="a reset",
        ),
        pytest.param(
            lambda _, i: frames.frame(frames.RST_STREAM, 0, i, b"\0\0\1\0"),
            INTERNAL,
            "the server ended the call: 256",
            id="a reset with an unknown code",
        ),
        pytest.param(
            lambda w, i: w.data(i, message()),
            INTERNAL,
            "stream 1: PROTOCOL_ERROR: DATA comes first",
            id="no headers",
        ),
        pytest.param(
            lambda w, i: w.headers(i, OK_HEADERS) * 2,
            INTERNAL,
            "stream 1: PROTOCOL_ERROR: trailers before the end",
            id="headers twice",
        ),
        pytest.param(
            lambda _, i: frames.frame(frames.PUSH_PROMISE, 4, i, b"\0\0\0\2"),
            UNAVAILABLE,
            "the server broke the protocol: PROTOCOL_ERROR: PUSH_PROMISE",
            id="a push",
        ),
        pytest.param(
            lambda w, i: w.headers(i + 2, OK_HEADERS),
            UNAVAILABLE,
            "the server broke the protocol: PROTOCOL_ERROR: stream 3 was never opened",
            id="a stream that nobody opened",
        ),
    ],
)
def test_answer_that_makes_no_sense_is_an_error_of_the_call(
    tmp_path: Path, make: Callable[[Wire, int], bytes], code: int, text: str
) -> None:
    response, error = answered(tmp_path, make)

    assert response is None
    assert error is not None
    assert (error.code, error.message) == (code, text)


def test_informational_headers_precede_the_response(tmp_path: Path) -> None:
    response, error = answered(
        tmp_path,
        lambda w, i: (
            w.headers(i, [(":status", "103")])
            + w.headers(i, OK_HEADERS)
            + w.data(i, message(b"abc"), ends=False)
            + w.headers(i, OK_TRAILERS, ends=True)
        ),
    )

    assert error is None
    assert response == b"abc"


@pytest.mark.parametrize("streams", [False, True], ids=["call", "stream"])
@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(
            lambda i: frames.rst_stream(i, ErrorCode.REFUSED_STREAM), id="RST"
        ),
        pytest.param(lambda _: frames.goaway(0, ErrorCode.NO_ERROR), id="GOAWAY"),
    ],
)
def test_call_that_was_not_begun_is_made_once_more(
    tmp_path: Path, refusal: Callable[[int], bytes], *, streams: bool
) -> None:
    puppet = Puppet(tmp_path / "s")
    refused: list[int] = []

    def serve() -> None:
        wire, stream_id = puppet.accept_request()
        wire.send(refusal(stream_id))
        refused.append(stream_id)
        while (frame := wire.read()) is not None and frame.kind != frames.DATA:
            pass
        if frame is not None:
            stream_id = frame.stream_id
        else:
            wire.sock.close()
            wire, stream_id = puppet.accept_request()
        with wire:
            wire.send(
                wire.headers(stream_id, OK_HEADERS),
                wire.data(stream_id, message(b"abc"), ends=False),
                wire.headers(stream_id, OK_TRAILERS, ends=True),
            )
            wire.read_all()

    with (
        puppet.listener,
        futures.ThreadPoolExecutor() as threads,
        RpcClient(str(tmp_path / "s")) as client,
    ):
        served = threads.submit(serve)
        if streams:
            response = next(client.stream("/t.T/X", b"", PATIENCE_S))
        else:
            response = client.call("/t.T/X", b"", PATIENCE_S)
        client.close()
        served.result(PATIENCE_S)

    assert refused == [1]
    assert response == b"abc"


def test_call_that_may_have_begun_is_not_repeated(tmp_path: Path) -> None:
    puppet = Puppet(tmp_path / "s")

    with (
        puppet.listener,
        RpcClient(str(tmp_path / "s")) as client,
        futures.ThreadPoolExecutor() as threads,
    ):
        call = threads.submit(client.call, "/t.T/X", b"", PATIENCE_S)
        wire, _ = puppet.accept_request()
        wire.sock.close()
        error = call.exception(PATIENCE_S)

    assert isinstance(error, RpcError)
    assert error.code == UNAVAILABLE


def test_metadata_goes_with_every_call(tmp_path: Path) -> None:
    def namespace(_: bytes, context: CallContext) -> bytes:
        return context.metadata("containerd-namespace").encode()

    with (
        serving(tmp_path / "s", {"/t.T/Inline": namespace, "/t.T/Pool": namespace}),
        RpcClient(
            str(tmp_path / "s"), metadata=(("containerd-namespace", "k8s.io"),)
        ) as client,
    ):
        answers = [
            client.call(path, b"")
            for path in ("/t.T/Inline", "/t.T/Pool", "/t.T/Inline", "/t.T/Inline")
        ]

    assert answers == [b"k8s.io"] * 4
