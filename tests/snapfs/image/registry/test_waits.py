"""Waits for answers, and their end."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import urllib3

from snapfs.errors import UnavailableError
from snapfs.image.registry.waits import Waits


def test_an_answer_and_an_error_come_through() -> None:
    waits, response = Waits(), urllib3.HTTPResponse(b"")

    def fail() -> urllib3.BaseHTTPResponse:
        raise urllib3.exceptions.ProtocolError("broken")

    assert waits.result_of(lambda: response) is response
    with pytest.raises(urllib3.exceptions.ProtocolError, match="broken"):
        waits.result_of(fail)


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
