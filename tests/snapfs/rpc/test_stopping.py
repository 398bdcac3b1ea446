"""The end of a server: what is under way goes on, what is new does not begin."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from snapfs.rpc import frames
from snapfs.rpc.calls import CallContext
from snapfs.rpc.client import RpcClient
from snapfs.rpc.frames import ErrorCode
from snapfs.rpc.server import RpcServer, listen
from snapfs.rpc.status import UNAVAILABLE, RpcError
from support.rpc import PATIENCE_S, connected, greeted, message, threads_of_rpc


class Held:
    """A handler that waits until it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.may_end = threading.Event()

    def __call__(self, request: bytes, _: CallContext) -> bytes:
        self.begun.set()
        self.may_end.wait(PATIENCE_S)
        return request


@pytest.fixture
def held() -> Iterator[Held]:
    held = Held()
    yield held
    held.may_end.set()


def endless(request: bytes, _: CallContext) -> Iterator[bytes]:
    while True:
        yield b"x" * 1000


def served(path: Path, held: Held) -> RpcServer:
    server = RpcServer(
        listen(str(path)), {"/t.T/Held": held}, {"/t.T/Endless": endless}
    )
    server.start()
    return server


def test_call_under_way_is_answered_and_a_new_one_refused(
    tmp_path: Path, held: Held
) -> None:
    server = served(tmp_path / "s", held)
    with greeted(tmp_path / "s") as wire, ThreadPoolExecutor() as threads:
        wire.send(wire.request(1, "/t.T/Held", b"abc"))
        held.begun.wait(PATIENCE_S)
        stop = threads.submit(server.stop, PATIENCE_S)
        goaway = wire.read_kind(frames.GOAWAY)
        wire.send(wire.request(3, "/t.T/Held"))
        refusal = wire.read_kind(frames.RST_STREAM)
        held.may_end.set()
        content, fields = wire.response(1)
        rest = wire.read_all()
        drained = stop.result(PATIENCE_S)

    assert int.from_bytes(goaway.payload[:4], "big") == 1
    assert goaway.error_code == ErrorCode.NO_ERROR
    assert (refusal.stream_id, refusal.error_code) == (3, ErrorCode.REFUSED_STREAM)
    assert content == message(b"abc")
    assert fields["grpc-status"] == "0"
    assert rest == []
    assert drained
    assert threads_of_rpc() == []


def test_call_that_takes_too_long_loses_its_connection(
    tmp_path: Path, held: Held
) -> None:
    server = served(tmp_path / "s", held)
    with (
        RpcClient(str(tmp_path / "s")) as client,
        ThreadPoolExecutor() as threads,
    ):
        call = threads.submit(client.call, "/t.T/Held", b"")
        held.begun.wait(PATIENCE_S)
        drained = server.stop(0)
        error = call.exception(PATIENCE_S)
        held.may_end.set()
        over = server.stop(PATIENCE_S)

    assert not drained
    assert isinstance(error, RpcError)
    assert error.code == UNAVAILABLE
    assert over


def test_stream_without_end_is_ended(tmp_path: Path, held: Held) -> None:
    server = served(tmp_path / "s", held)
    with RpcClient(str(tmp_path / "s")) as client:
        responses = client.stream("/t.T/Endless", b"")
        next(responses)
        drained = server.stop(0)
        with pytest.raises(RpcError) as caught:
            for _ in responses:
                pass

    assert drained  # it is over, because its generator was closed
    assert caught.value.code == UNAVAILABLE
    assert threads_of_rpc() == []


def test_idle_and_half_open_connections_do_not_delay_the_end(
    tmp_path: Path, held: Held
) -> None:
    server = served(tmp_path / "s", held)
    with greeted(tmp_path / "s") as idle, connected(tmp_path / "s") as silent:
        silent.read_kind(frames.SETTINGS)
        silent.send(frames.PREFACE[:10])
        idle.send(idle.headers(1))  # a request that is never finished
        idle.ping()
        drained = server.stop(0.2)
        idle_got = idle.read_all()

    assert [f.kind for f in idle_got] == [frames.GOAWAY]
    # An unfinished request is no call; it costs the grace and nothing else.
    assert drained
    assert threads_of_rpc() == []


def test_server_that_was_not_started_stops(tmp_path: Path, held: Held) -> None:
    server = RpcServer(listen(str(tmp_path / "s")), {"/t.T/Held": held}, {})

    assert server.stop(0)
    assert server.stop(0)


def test_stopped_server_accepts_nobody(tmp_path: Path, held: Held) -> None:
    server = served(tmp_path / "s", held)
    server.stop(0)

    with pytest.raises(ConnectionRefusedError):
        connected(tmp_path / "s")
