"""The producer thread: order, bounds, errors, and a prompt stop."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from snapfs.compression import Background
from snapfs.errors import DataLossError


def test_blocks_and_the_end_arrive_in_order() -> None:
    blocks: Iterator[bytes] = iter([b"%d" % number for number in range(500)])

    with Background(lambda: next(blocks, b""), depth=3) as ahead:
        seen = [ahead.read_block() for _ in range(500)]
        ends = [ahead.read_block() for _ in range(3)]

    assert seen == [b"%d" % number for number in range(500)]
    assert ends == [b""] * 3


def test_an_error_arrives_after_the_blocks_before_it_and_stays() -> None:
    blocks = iter([b"a", b"b"])

    def read_block() -> bytes:
        for block in blocks:
            return block
        raise DataLossError("cut short")

    with Background(read_block, depth=2) as ahead:
        assert [ahead.read_block(), ahead.read_block()] == [b"a", b"b"]
        for _ in range(2):
            with pytest.raises(DataLossError, match="cut short"):
                ahead.read_block()


def test_the_producer_is_never_more_than_depth_blocks_ahead() -> None:
    produced = threading.Semaphore(0)
    made: list[int] = []

    def read_block() -> bytes:
        made.append(len(made))
        produced.release()
        return b"x"

    with Background(read_block, depth=4) as ahead:
        for _ in range(4):
            assert produced.acquire(timeout=30)
        assert len(made) == 4
        for _ in range(2):
            ahead.read_block()
        for _ in range(2):
            assert produced.acquire(timeout=30)
        assert len(made) == 6


def test_close_ends_a_producer_that_waits_for_room() -> None:
    ahead = Background(lambda: b"x", depth=1)
    ahead.read_block()

    ahead.close()
    ahead.close()

    assert not ahead._thread.is_alive()
    with pytest.raises(ValueError, match="closed"):
        ahead.read_block()


def test_close_wakes_a_consumer_that_waits() -> None:
    release = threading.Event()
    started = threading.Event()
    errors: list[BaseException] = []

    def read_block() -> bytes:
        started.set()
        release.wait()
        return b""

    def consume() -> None:
        try:
            ahead.read_block()
        except ValueError as error:
            errors.append(error)

    ahead = Background(read_block, depth=1)
    consumer = threading.Thread(target=consume)
    consumer.start()
    assert started.wait(30)
    closer = threading.Thread(target=ahead.close)
    closer.start()

    consumer.join(30)
    release.set()
    closer.join(30)

    assert not consumer.is_alive()
    assert not closer.is_alive()
    assert len(errors) == 1
