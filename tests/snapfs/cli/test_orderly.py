"""Long work that an interrupt ends in good order."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType

import click
import pytest

from snapfs.cli.orderly import in_order
from snapfs.errors import UnavailableError
from support.sandbox import wait_until

# Only a signal that nobody acts on meets this.
TIMEOUT_S = 20


def waits_for_the_work(thread: int) -> bool:
    """Whether the thread has started the work and is in the call that waits for it."""
    frame: FrameType | None = sys._current_frames()[thread]
    names = []
    while frame is not None and frame.f_code is not in_order.__code__:
        names.append(frame.f_code.co_name)
        frame = frame.f_back
    return bool(names) and "start" not in names


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_another_thread_gets_stops_the_work(
    number: signal.Signals,
) -> None:
    """The main thread was not woken, and Ctrl-C had no effect, now and then."""
    stopped = threading.Event()
    in_time: list[bool] = []
    before = signal.signal(number, signal.SIG_DFL)
    caller = threading.get_ident()

    def work() -> None:
        wait_until(lambda: waits_for_the_work(caller), "the main thread to wait")
        signal.pthread_kill(threading.get_ident(), number)
        in_time.append(stopped.wait(TIMEOUT_S))
        raise UnavailableError("stopped")

    try:
        with pytest.raises(click.Abort):
            in_order(work, stopped.set)
    finally:
        signal.signal(number, before)

    assert in_time == [True]


def test_work_on_another_thread_s_behalf_is_done_as_well() -> None:
    results: list[int] = []
    caller = threading.Thread(
        target=lambda: results.append(in_order(lambda: 7, lambda: None))
    )

    caller.start()
    caller.join()

    assert results == [7]


def test_an_error_of_the_work_is_the_caller_s() -> None:
    def work() -> None:
        raise UnavailableError("no disk")

    with pytest.raises(UnavailableError, match="no disk"):
        in_order(work, lambda: None)


def test_handlers_and_the_place_of_wakings_are_as_they_were() -> None:
    handlers = [signal.getsignal(number) for number in (2, 15, 1)]

    in_order(lambda: None, lambda: None)

    assert [signal.getsignal(number) for number in (2, 15, 1)] == handlers
    assert signal.set_wakeup_fd(-1) == -1
