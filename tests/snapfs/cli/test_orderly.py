"""Long work that an interrupt ends in good order."""

from __future__ import annotations

import signal
import threading

import click
import pytest

from snapfs.cli.orderly import in_order
from snapfs.errors import UnavailableError
from support.sandbox import wait_until
from support.waiting_threads import waits_within

# Only a signal that nobody acts on meets this.
TIMEOUT_S = 20


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
        wait_until(
            lambda: waits_within(caller, in_order.__code__), "the main thread to wait"
        )
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
