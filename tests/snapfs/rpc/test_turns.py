"""The reader runs calls itself, and another reads on only where there is something."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from snapfs.rpc import frames
from snapfs.rpc.calls import CallContext, Handler
from snapfs.rpc.client import RpcClient
from snapfs.rpc.frames import ErrorCode
from support.rpc import PATIENCE_S, echo, greeted, message, serving, threads_of_rpc


class Held:
    """A handler that waits until it is let go, and says which thread runs it."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.may_end = threading.Event()

    def __call__(self, request: bytes, _: CallContext) -> bytes:
        self.begun.release()
        assert self.may_end.wait(PATIENCE_S)
        return request

    def wait_for(self, calls: int) -> None:
        for _ in range(calls):
            assert self.begun.acquire(timeout=PATIENCE_S)


def thread_of(_request: bytes, _: CallContext) -> bytes:
    return threading.current_thread().name.encode()


@pytest.fixture
def held() -> Iterator[Held]:
    held = Held()
    yield held
    held.may_end.set()


@pytest.fixture
def path(tmp_path: Path, held: Held) -> Iterator[Path]:
    unary: dict[str, Handler] = {
        "/t.T/Inline": echo,
        "/t.T/Pool": echo,
        "/t.T/Held": held,
        "/t.T/Thread": thread_of,
        "/t.T/ThreadInline": thread_of,
    }
    with serving(tmp_path / "s", unary):
        yield tmp_path / "s"
        held.may_end.set()


def test_calls_one_after_the_other_stay_with_one_thread(path: Path) -> None:
    with greeted(path) as wire:
        names = set()
        for stream_id in range(1, 41, 2):
            wire.send(wire.request(stream_id, "/t.T/Thread"))
            names.add(wire.response(stream_id)[0])
        wire.send(wire.request(41, "/t.T/ThreadInline"))
        names.add(wire.response(41)[0])

    assert len(names) == 1


def test_inline_call_is_answered_during_a_long_one(path: Path, held: Held) -> None:
    with greeted(path) as wire:
        wire.send(wire.request(1, "/t.T/Held", b"long"))
        held.wait_for(1)
        wire.send(wire.request(3, content=b"short"))
        short = wire.response(3)[0]
        wire.ping()
        held.may_end.set()
        long = wire.response(1)[0]

    assert (short, long) == (message(b"short"), message(b"long"))


@pytest.mark.parametrize("at_once", [True, False])
def test_long_calls_of_one_connection_run_side_by_side(
    path: Path, held: Held, at_once: bool
) -> None:
    ids = (1, 3, 5)
    with greeted(path) as wire:
        if at_once:
            wire.send(*(wire.request(n, "/t.T/Held") for n in ids))
            held.wait_for(len(ids))
        else:
            for stream_id in ids:
                wire.send(wire.request(stream_id, "/t.T/Held"))
                held.wait_for(1)
        wire.send(wire.request(7, content=b"and now?"))
        answer = wire.response(7)[0]
        held.may_end.set()
        ended = {wire.read_kind(frames.DATA).stream_id for _ in ids}

    assert answer == message(b"and now?")
    assert ended == set(ids)


def test_half_a_frame_waits_for_its_rest_during_a_long_call(
    path: Path, held: Held
) -> None:
    with greeted(path) as wire:
        first = wire.request(1, "/t.T/Held")
        request = wire.request(3, content=b"cut")
        wire.send(first, request[:20])
        held.wait_for(1)
        wire.send(request[20:])
        answer = wire.response(3)[0]

    assert answer == message(b"cut")


def test_calls_go_on_after_a_long_one_was_reset(path: Path, held: Held) -> None:
    with greeted(path) as wire:
        wire.send(wire.request(1, "/t.T/Held"))
        held.wait_for(1)
        wire.send(frames.rst_stream(1, ErrorCode.CANCEL))
        wire.ping()
        held.may_end.set()
        answers = []
        for stream_id in (3, 5, 7):
            wire.send(wire.request(stream_id, "/t.T/Pool", b"%d" % stream_id))
            answers.append(wire.response(stream_id)[0])

    assert answers == [message(b"3"), message(b"5"), message(b"7")]


def test_client_that_leaves_during_a_long_call_is_forgotten(
    path: Path, held: Held
) -> None:
    with greeted(path) as wire:
        wire.send(wire.request(1, "/t.T/Held"))
        held.wait_for(1)
    with greeted(path) as other:
        other.send(other.request(1, "/t.T/Pool", b"next"))
        before = other.response(1)[0]
        held.may_end.set()
        other.send(other.request(3, "/t.T/Pool", b"last"))
        after = other.response(3)[0]

    assert (before, after) == (message(b"next"), message(b"last"))


def test_call_before_a_fault_in_the_same_read_does_not_stay_at_work(
    path: Path, held: Held
) -> None:
    with greeted(path) as wire:
        wire.send(wire.request(1, "/t.T/Held"), frames.frame(frames.PING, 0, 1, b""))
        goaway = wire.read_kind(frames.GOAWAY)
        rest = wire.read_all()

    assert goaway.error_code == ErrorCode.PROTOCOL_ERROR
    assert rest == []
    assert not held.begun.acquire(blocking=False)


def test_call_that_was_reset_in_the_same_read_does_not_run(
    path: Path, held: Held
) -> None:
    with greeted(path) as wire:
        wire.send(wire.request(1, "/t.T/Held"), frames.rst_stream(1, ErrorCode.CANCEL))
        wire.ping()

    assert not held.begun.acquire(blocking=False)


def test_connections_one_after_the_other_share_their_threads(path: Path) -> None:
    for _ in range(50):
        with greeted(path) as wire:
            wire.send(wire.request(1, "/t.T/Pool"))
            wire.response(1)

    # One that ends and one that begins may overlap.
    assert len([n for n in threads_of_rpc() if n.startswith("snapfs-rpc-")]) < 20


def test_every_call_of_many_threads_gets_its_own_answer(path: Path) -> None:
    ways = ("/t.T/Pool", "/t.T/Inline", "/t.T/Pool", "/t.T/Pool")
    numbers = itertools.count()

    def hammer(client: RpcClient) -> list[tuple[bytes, bytes]]:
        pairs = []
        for way in ways * 50:
            request = b"%d" % next(numbers)
            pairs.append((request, client.call(way, request, PATIENCE_S)))
        return pairs

    with (
        RpcClient(str(path)) as first,
        RpcClient(str(path)) as second,
        ThreadPoolExecutor(12) as threads,
    ):
        pairs = list(
            itertools.chain.from_iterable(threads.map(hammer, (first, second) * 6))
        )

    assert len(pairs) == 12 * 4 * 50
    assert all(request == answer for request, answer in pairs)
