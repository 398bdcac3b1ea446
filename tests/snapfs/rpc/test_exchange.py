"""Calls with a stream each way, against grpcio's server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest

from snapfs.rpc.client import RpcClient
from snapfs.rpc.status import (
    CANCELLED,
    DEADLINE_EXCEEDED,
    UNAVAILABLE,
    UNIMPLEMENTED,
    RpcError,
)
from support.rpc import PATIENCE_S

LARGE = 3 << 20


class Service:
    """Answers each request with its length, as a server of uploads does."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.ended: list[bool] = []
        self.begun = threading.Event()
        self.over = threading.Event()

    def lengths(
        self, requests: Iterator[bytes], context: grpc.ServicerContext
    ) -> Iterator[bytes]:
        context.add_callback(self.over.set)
        for request in requests:
            self.received.append(request)
            if request == b"refuse":
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no more")
            if request == b"enough":
                return
            yield b"%d" % len(request)
        self.ended.append(True)
        yield b"end"

    def silence(
        self, requests: Iterator[bytes], context: grpc.ServicerContext
    ) -> Iterator[bytes]:
        context.add_callback(self.over.set)
        self.begun.set()
        yield from ()
        self.over.wait(PATIENCE_S)


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def client(service: Service, tmp_path: Path) -> Iterator[RpcClient]:
    pool = futures.ThreadPoolExecutor(8)
    server = grpc.server(pool, options=[("grpc.max_receive_message_length", 16 << 20)])
    handlers = {
        "Lengths": grpc.stream_stream_rpc_method_handler(service.lengths),
        "Silence": grpc.stream_stream_rpc_method_handler(service.silence),
    }
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("t.T", handlers),)
    )
    path = str(tmp_path / "s")
    server.add_insecure_port(f"unix:{path}")
    server.start()
    with RpcClient(path) as made:
        yield made
    server.stop(0).wait()
    pool.shutdown()


def test_each_request_has_its_response_before_the_next_one(
    client: RpcClient, service: Service
) -> None:
    with client.exchange("/t.T/Lengths") as call:
        for size in (0, 1, 16384, LARGE):
            call.send(b"x" * size)
            assert call.receive(PATIENCE_S) == b"%d" % size

        call.end()

        assert call.receive(PATIENCE_S) == b"end"
        assert call.receive(PATIENCE_S) is None
    assert service.ended == [True]
    assert list(map(len, service.received)) == [0, 1, 16384, LARGE]


def test_responses_wait_until_they_are_taken(client: RpcClient) -> None:
    with client.exchange("/t.T/Lengths") as call:
        for size in range(500):
            call.send(b"x" * size)
        call.end()

        taken = [call.receive(PATIENCE_S) for _ in range(501)]

    assert taken == [*(b"%d" % size for size in range(500)), b"end"]


def test_a_refusal_comes_as_the_server_said_it(client: RpcClient) -> None:
    with client.exchange("/t.T/Lengths") as call:
        call.send(b"refuse")

        with pytest.raises(RpcError, match="no more") as raised:
            call.receive(PATIENCE_S)

    assert raised.value.code == grpc.StatusCode.FAILED_PRECONDITION.value[0]


def test_requests_after_the_end_are_not_missed(client: RpcClient) -> None:
    with client.exchange("/t.T/Lengths") as call:
        call.send(b"enough")
        assert call.receive(PATIENCE_S) is None

        call.send(b"x" * LARGE)
        call.end()


def test_closing_cancels_the_call(client: RpcClient, service: Service) -> None:
    call = client.exchange("/t.T/Silence")
    call.send(b"x")
    assert service.begun.wait(PATIENCE_S)

    call.close()

    assert service.over.wait(PATIENCE_S)
    assert service.ended == []


def test_an_answer_that_does_not_come_in_time_is_an_error(client: RpcClient) -> None:
    with (
        client.exchange("/t.T/Silence") as call,
        pytest.raises(RpcError) as raised,
    ):
        call.receive(0.05)

    assert raised.value.code == DEADLINE_EXCEEDED


def test_a_call_that_nobody_knows_is_refused(client: RpcClient) -> None:
    with client.exchange("/t.T/Unknown") as call, pytest.raises(RpcError) as raised:
        call.receive(PATIENCE_S)

    assert raised.value.code == UNIMPLEMENTED


def test_nobody_to_call_is_an_error(tmp_path: Path) -> None:
    with RpcClient(str(tmp_path / "none")) as lonely:
        with pytest.raises(RpcError) as raised:
            lonely.exchange("/t.T/Lengths")
        assert raised.value.code == UNAVAILABLE
    with pytest.raises(RpcError) as closed:
        lonely.exchange("/t.T/Lengths")
    assert closed.value.code == CANCELLED
