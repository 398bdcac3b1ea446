"""The server as a client that others wrote sees it: grpcio's."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from snapfs.rpc.calls import CallContext
from snapfs.rpc.status import RpcError
from support.rpc import PATIENCE_S, count, echo, serving

LIMIT = 16 << 20
OPTIONS = (
    ("grpc.max_receive_message_length", LIMIT),
    ("grpc.max_send_message_length", LIMIT),
    ("grpc.use_local_subchannel_pool", 1),
)


def fail(request: bytes, _: CallContext) -> bytes:
    raise RpcError(5, "snapshot 'ä\n%41' is gone: not found")


def break_down(request: bytes, _: CallContext) -> bytes:
    raise KeyError(request)


def name_space(request: bytes, context: CallContext) -> bytes:
    return f"{context.metadata('containerd-namespace')} {context.peer.uid}".encode()


def fail_late(request: bytes, _: CallContext) -> Iterator[bytes]:
    yield b"first"
    raise RpcError(9, "no more")


def fail_first(request: bytes, _: CallContext) -> Iterator[bytes]:
    raise RpcError(3, "bad filter")


UNARY = {
    "/t.T/Inline": echo,
    "/t.T/Pool": echo,
    "/t.T/Fail": fail,
    "/t.T/FailInline": fail,
    "/t.T/BreakDown": break_down,
    "/t.T/Namespace": name_space,
}
STREAMS = {
    "/t.T/Count": count,
    "/t.T/FailLate": fail_late,
    "/t.T/FailFirst": fail_first,
}


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    with serving(tmp_path / "s", UNARY, STREAMS):
        yield tmp_path / "s"


@pytest.fixture
def channel(path: Path) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"unix:{path}", options=OPTIONS) as channel:
        yield channel


def call(
    channel: grpc.Channel, name: str, request: bytes = b"", **options: object
) -> bytes:
    options.setdefault("timeout", PATIENCE_S)
    stub: Callable[..., bytes] = channel.unary_unary(f"/t.T/{name}")
    return stub(request, **options)


def stream(
    channel: grpc.Channel, name: str, request: bytes = b"", **options: object
) -> grpc.Call:
    options.setdefault("timeout", PATIENCE_S)
    return channel.unary_stream(f"/t.T/{name}")(request, **options)


@pytest.mark.parametrize("name", ["Inline", "Pool"])
@pytest.mark.parametrize(
    "size", [0, 1, 16379, 16380, 65530, 65531, 1 << 20, LIMIT - 1, LIMIT]
)
def test_message_of_any_size_comes_back(
    channel: grpc.Channel, name: str, size: int
) -> None:
    request = bytes(size)

    assert call(channel, name, request) == request


@pytest.mark.parametrize("items", [0, 1, 10_000])
def test_stream_comes_whole_and_in_order(channel: grpc.Channel, items: int) -> None:
    got = list(stream(channel, "Count", b"%d" % items))

    assert got == [b"%d" % number for number in range(items)]


@pytest.mark.parametrize("name", ["Fail", "FailInline"])
def test_failure_of_a_handler_arrives_word_for_word(
    channel: grpc.Channel, name: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, name)

    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert caught.value.details() == "snapshot 'ä\n%41' is gone: not found"


def test_failure_within_a_stream_comes_behind_its_items(channel: grpc.Channel) -> None:
    responses = stream(channel, "FailLate")

    first = next(responses)
    with pytest.raises(grpc.RpcError) as caught:
        next(responses)

    assert first == b"first"
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert caught.value.details() == "no more"


def test_stream_that_fails_at_once_has_only_a_status(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        next(stream(channel, "FailFirst"))

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_bug_in_a_handler_is_unknown_and_logged(
    channel: grpc.Channel, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, "BreakDown", b"x")

    assert caught.value.code() is grpc.StatusCode.UNKNOWN
    assert caught.value.details() == "unexpected KeyError: b'x'"
    assert "the handler of /t.T/BreakDown failed" in caplog.text


def test_unknown_method_is_unimplemented(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, "Nope", b"x" * 100_000)

    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert caught.value.details() == "unknown method /t.T/Nope"


def test_message_beyond_the_limit_is_refused_in_both_directions(
    tmp_path: Path,
) -> None:
    def double(request: bytes, _: CallContext) -> bytes:
        return request * 2

    with (
        serving(tmp_path / "l", {"/t.T/Double": double}, max_message_bytes=100_000),
        grpc.insecure_channel(f"unix:{tmp_path / 'l'}", options=OPTIONS) as channel,
    ):
        with pytest.raises(grpc.RpcError) as received:
            call(channel, "Double", bytes(100_001))
        with pytest.raises(grpc.RpcError) as sent:
            call(channel, "Double", bytes(50_001))
        fits = call(channel, "Double", bytes(50_000))

    assert received.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert sent.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(fits) == 100_000


def test_compressed_request_is_refused(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, "Pool", b"x" * 10_000, compression=grpc.Compression.Gzip)

    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_handler_reads_metadata_and_peer(channel: grpc.Channel) -> None:
    metadata = (
        ("containerd-namespace", "k8s.io"),
        ("containerd-namespace", "second"),
        ("trace-bin", b"\0\xff,"),
    )

    got = call(channel, "Namespace", metadata=metadata)

    assert got == b"k8s.io 0"


def test_cancelled_stream_closes_its_generator(tmp_path: Path) -> None:
    closed = threading.Event()

    def endless(request: bytes, _: CallContext) -> Iterator[bytes]:
        try:
            while True:
                yield b"x"
        finally:
            closed.set()

    with (
        serving(tmp_path / "l", {}, {"/t.T/Endless": endless}),
        grpc.insecure_channel(f"unix:{tmp_path / 'l'}") as channel,
    ):
        responses = stream(channel, "Endless")
        next(responses)
        responses.cancel()
        was_closed = closed.wait(PATIENCE_S)

    assert was_closed


def test_deadline_of_a_call_that_waits_for_a_thread_passes(tmp_path: Path) -> None:
    begun = threading.Event()
    may_end = threading.Event()
    ran: list[bytes] = []

    def slow(request: bytes, _: CallContext) -> bytes:
        ran.append(request)
        begun.set()
        may_end.wait()
        return request

    with (
        serving(tmp_path / "l", {"/t.T/Slow": slow, "/t.T/Inline": echo}, workers=1),
        grpc.insecure_channel(f"unix:{tmp_path / 'l'}") as channel,
    ):
        first = channel.unary_unary("/t.T/Slow").future(b"1", timeout=PATIENCE_S)
        begun.wait(PATIENCE_S)
        with pytest.raises(grpc.RpcError) as caught:
            call(channel, "Slow", b"2", timeout=0.05)
        call(channel, "Inline")  # so that the server has seen what was before it
        may_end.set()
        answer = first.result()
        call(channel, "Slow", b"3")

    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert answer == b"1"
    assert b"2" not in ran  # nobody waited for it any longer


def test_fifty_threads_share_a_connection(channel: grpc.Channel) -> None:
    def ask(number: int) -> bool:
        name = "Inline" if number % 2 else "Pool"
        request = b"%d" % number * (number % 7 * 1000)
        return call(channel, name, request) == request

    with ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(ask, range(2000)))

    assert all(answers)


def test_streams_and_calls_share_a_connection(channel: grpc.Channel) -> None:
    streams = [stream(channel, "Count", b"2000") for _ in range(20)]
    firsts = [next(responses) for responses in streams]

    answer = call(channel, "Pool", b"meanwhile")
    rests = [len(list(responses)) for responses in streams]

    assert firsts == [b"0"] * 20
    assert answer == b"meanwhile"
    assert rests == [1999] * 20
