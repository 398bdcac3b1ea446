"""Waits for answers, and their end."""

from __future__ import annotations

import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import urllib3

from snapfs.errors import UnavailableError
from snapfs.image.registry.waits import Waits
from support.sandbox import wait_until
from support.waiting_threads import waits_within

# Only a signal that nobody acts on meets this.
TIMEOUT_S = 20


def test_an_answer_and_an_error_come_through() -> None:
    waits, response = Waits(), urllib3.HTTPResponse(b"")

    def fail() -> urllib3.BaseHTTPResponse:
        raise urllib3.exceptions.ProtocolError("broken")

    assert waits.result_of(lambda: response) is response
    with pytest.raises(urllib3.exceptions.ProtocolError, match="broken"):
        waits.result_of(fail)


def test_an_interrupt_that_another_thread_gets_ends_the_wait() -> None:
    waits, caller, ended = Waits(), threading.get_ident(), threading.Event()
    in_time: list[bool] = []
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def send() -> urllib3.BaseHTTPResponse:
        code = Waits.result_of.__code__
        wait_until(lambda: waits_within(caller, code), "the main thread to wait")
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        in_time.append(ended.wait(TIMEOUT_S))
        return urllib3.HTTPResponse(b"")

    try:
        with pytest.raises(KeyboardInterrupt):
            waits.result_of(send)
    finally:
        signal.signal(signal.SIGINT, before)
    ended.set()

    wait_until(lambda: in_time, "the answer")
    assert in_time == [True]


def test_an_error_of_a_time_out_is_an_answer_s_own() -> None:
    def fail() -> urllib3.BaseHTTPResponse:
        raise TimeoutError("the answer's")

    with pytest.raises(TimeoutError, match="the answer's"):
        Waits().result_of(fail)


def test_giving_up_ends_all_waits_and_closes_what_comes_too_late() -> None:
    waits, begun, may_end, closed = Waits(), *(threading.Event() for _ in range(3))

    class Late(urllib3.HTTPResponse):
        def close(self) -> None:
            super().close()
            closed.set()

    def send() -> urllib3.BaseHTTPResponse:
        begun.set()
        may_end.wait()
        return Late(b"")

    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(waits.result_of, send)
        begun.wait()
        waits.give_up()
        with pytest.raises(UnavailableError, match="was closed"):
            waiting.result()
    assert not closed.is_set()
    may_end.set()
    closed.wait()
    with pytest.raises(UnavailableError, match="was closed"):
        waits.result_of(send)
