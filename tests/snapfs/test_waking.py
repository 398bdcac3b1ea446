"""Waits that another thread ends, or a signal."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from snapfs.waking import Waker
from support.sandbox import wait_until
from support.waiting_threads import waits_within


@pytest.fixture
def handled() -> Iterator[list[int]]:
    """The numbers of the signals SIGUSR1 that were handled."""
    numbers: list[int] = []

    def note(number: int, _frame: object) -> None:
        numbers.append(number)

    before = signal.signal(signal.SIGUSR1, note)
    yield numbers
    signal.signal(signal.SIGUSR1, before)


def test_a_wake_before_the_wait_ends_it() -> None:
    with Waker() as waker:
        waker.wake()

        assert waker.wait() == b"\0"


def test_a_signal_that_another_thread_gets_ends_the_wait(handled: list[int]) -> None:
    caller = threading.get_ident()

    def wait(waker: Waker) -> bytes:
        return waker.wait()

    def send() -> None:
        wait_until(lambda: waits_within(caller, wait.__code__), "the wait")
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

    with Waker() as waker:
        sender = threading.Thread(target=send)
        sender.start()

        assert wait(waker) == bytes([signal.SIGUSR1])
        sender.join()
    assert handled == [signal.SIGUSR1]


def test_an_inner_wait_gives_signals_back_to_the_outer(handled: list[int]) -> None:
    with Waker() as outer:
        with Waker():
            pass
        signal.raise_signal(signal.SIGUSR1)

        assert outer.wait() == bytes([signal.SIGUSR1])
    assert handled == [signal.SIGUSR1]
    assert signal.set_wakeup_fd(-1) == -1


def test_another_thread_s_wait_takes_no_signals() -> None:
    woken: list[bytes] = []

    def wait() -> None:
        with Waker() as waker:
            waker.wake()
            woken.append(waker.wait())

    thread = threading.Thread(target=wait)
    thread.start()
    thread.join()

    assert woken == [b"\0"]


def test_a_full_pipe_takes_more_wakes() -> None:
    with Waker() as waker:
        for _ in range(100_000):  # more than a pipe holds
            waker.wake()

        assert waker.wait()


def test_a_wake_that_is_too_late_writes_into_no_other_file() -> None:
    waker = Waker()
    waker.close()
    reading, writing = os.pipe()  # takes the numbers that were closed
    os.set_blocking(reading, False)

    waker.wake()
    waker.close()

    with pytest.raises(BlockingIOError):
        os.read(reading, 1)
    os.close(reading)
    os.close(writing)
