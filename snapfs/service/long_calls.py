"""A call with one response that takes its time, and ends when its caller has gone.

To the transport it is a stream of one response: so it has a thread of its own, that no
short call waits for, and says now and then that it is still at work. On the wire the
two are the same.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Final, Generic

from google.protobuf.message import Message

from snapfs.api.codes import Code
from snapfs.api.methods import Method, RequestT, ResponseT
from snapfs.service.dispatch import Caller, log_failure, log_success, parsed
from snapfs.service.log import Origin
from snapfs.service.status import status_of
from snapfs.stopping import Stop

# How long a caller that has gone keeps us at work.
_PULSE_S: Final = 0.2


class LongEndpoint(Generic[RequestT, ResponseT]):
    """One method bound to what answers it.

    Args:
        method: Its row in the table of calls.
        answer: What is done, given the request, where it came from, and what will end
            it; any exception is the call's failure.
    """

    def __init__(
        self,
        method: Method[RequestT, ResponseT],
        answer: Callable[[RequestT, Origin, Stop], ResponseT],
    ) -> None:
        self.path = method.path
        self._method = method
        self._answer = answer

    def __call__(self, request: bytes, caller: Caller) -> Iterator[bytes | None]:
        """Answer one call; None while it is at work.

        Closing the iterator ends the work, and waits for that.

        Raises:
            StatusError: The call failed; nothing else is ever raised.
        """
        started_ns = time.perf_counter_ns()
        message: RequestT | None = None
        try:
            message = parsed(self._method, request)
            work = _Work(self._answer, message, caller(), Stop("the call"))
            try:
                while not work.is_done(_PULSE_S):
                    yield None
            finally:
                work.end()
            response = work.result()
        except GeneratorExit:
            log_success(self.path, Code.CANCELLED, started_ns, caller)
            raise
        except Exception as error:
            status = status_of(error)
            log_failure(self.path, message, status, error, started_ns, caller)
            raise status from error
        log_success(self.path, Code.OK, started_ns, caller)
        yield response.SerializeToString()


class _Work(Generic[RequestT, ResponseT]):
    """The call in a thread."""

    def __init__(
        self,
        answer: Callable[[RequestT, Origin, Stop], ResponseT],
        message: RequestT,
        origin: Origin,
        stop: Stop,
    ) -> None:
        self._answer = answer
        self._message = message
        self._origin = origin
        self._stop = stop
        self._response: ResponseT | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(
            target=self._run, name="snapfs-long", daemon=True
        )
        self._thread.start()

    def _run(self) -> None:
        try:
            self._response = self._answer(self._message, self._origin, self._stop)
        except BaseException as error:  # noqa: BLE001 - told to who waits
            self._error = error

    def is_done(self, timeout_s: float) -> bool:
        """Wait for the end a while; return whether it came."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def end(self) -> None:
        """End the work if it is not done; wait for that."""
        if self._thread.is_alive():
            self._stop.ask()
            self._thread.join()

    def result(self) -> Message:
        """Return the response, or raise what the work did."""
        if self._error is not None:
            raise self._error
        assert self._response is not None
        return self._response
