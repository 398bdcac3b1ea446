"""Waiting for answers so that somebody else can end the wait.

Nothing wakes a thread that waits in the kernel for a host's answer, or for its name
to be resolved. So another thread sends the request, and may be left behind.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future

import urllib3

from snapfs.errors import UnavailableError
from snapfs.waking import Waker


class Waits:
    """The waits of one transport; any number of threads may wait at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: set[Future[urllib3.BaseHTTPResponse]] = set()
        self._is_over = False

    def result_of(
        self, send: Callable[[], urllib3.BaseHTTPResponse]
    ) -> urllib3.BaseHTTPResponse:
        """Return what ``send`` returns, unless :meth:`give_up` is called before.

        Raises:
            UnavailableError: It was; the answer is closed when it comes.
            BaseException: What ``send`` raised.
        """
        future: Future[urllib3.BaseHTTPResponse] = Future()
        with self._lock:
            if self._is_over:
                raise _closed()
            self._waiting.add(future)
        threading.Thread(
            target=_answer, args=(send, future), name="request", daemon=True
        ).start()
        try:
            with Waker() as waker:
                future.add_done_callback(lambda _future: waker.wake())
                while not future.done():
                    waker.wait()
            return future.result()
        except CancelledError:
            raise _closed() from None
        finally:
            with self._lock:
                self._waiting.discard(future)

    def give_up(self) -> None:
        """End all waits, and those to come."""
        with self._lock:
            self._is_over = True
            for future in self._waiting:
                future.cancel()


def _answer(
    send: Callable[[], urllib3.BaseHTTPResponse],
    future: Future[urllib3.BaseHTTPResponse],
) -> None:
    try:
        response = send()
    except BaseException as error:  # noqa: BLE001 - for the other thread to see
        if future.set_running_or_notify_cancel():
            future.set_exception(error)
        return
    if future.set_running_or_notify_cancel():
        future.set_result(response)
        return
    with contextlib.suppress(Exception):  # nobody is left to hear of it
        response.close()


def _closed() -> UnavailableError:
    return UnavailableError("the registry's source was closed")
