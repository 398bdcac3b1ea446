"""Calls without a transport: request bytes in, response bytes out.

An endpoint is one method bound to what answers it. It parses, answers, serialises,
writes the log and turns every error into a :class:`StatusError`; whoever carries the
bytes (``server.py`` does, with ``snapfs.rpc``) only finds the endpoint by its path
and sends what comes back. Endpoints keep no state: any number of threads may call one.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Generic, TypeAlias

from google.protobuf.message import DecodeError, Message

from snapfs.api.codes import Code
from snapfs.api.methods import Method, RequestT, ResponseT
from snapfs.errors import InvalidArgumentError
from snapfs.service.log import SLOW_CALL_S, Origin, log_call, logs_fine_calls
from snapfs.service.status import StatusError, status_of

# Asked only if a call is written down: reading the metadata costs time.
Caller: TypeAlias = Callable[[], Origin]
UnaryCall: TypeAlias = Callable[[bytes, Caller], bytes]
StreamCall: TypeAlias = Callable[[bytes, Caller], Iterator[bytes | None]]

_SLOW_CALL_NS: Final = int(SLOW_CALL_S * 1e9)


class UnaryEndpoint(Generic[RequestT, ResponseT]):
    """A call with one response.

    Args:
        method: Its row in the table of calls.
        answer: What is done, its result a message or one that is encoded already; any
            exception is the call's failure.
        to_status: How its errors are told to the client.
    """

    def __init__(
        self,
        method: Method[RequestT, ResponseT],
        answer: Callable[[RequestT], ResponseT | bytes],
        to_status: Callable[[Exception], StatusError] = status_of,
    ) -> None:
        self.path = method.path
        self._method = method
        self._answer = answer
        self._to_status = to_status

    def __call__(self, request: bytes, caller: Caller) -> bytes:
        """Answer one call.

        Raises:
            StatusError: The call failed; nothing else is ever raised.
        """
        started_ns = time.perf_counter_ns()
        message: RequestT | None = None
        try:
            message = parsed(self._method, request)
            response = _encoded(self._answer(message))
        except Exception as error:
            status = self._to_status(error)
            log_failure(self.path, message, status, error, started_ns, caller)
            raise status from error
        duration_ns = time.perf_counter_ns() - started_ns
        slow = duration_ns >= _SLOW_CALL_NS
        if slow or logs_fine_calls():
            key = _key_of(message)
            log_call(self.path, key, Code.OK, duration_ns, caller(), slow=slow)
        return response


class StreamEndpoint(Generic[RequestT, ResponseT]):
    """A call with any number of responses, made while they are taken.

    Closing the iterator stops the work. The time that a stream takes is also its
    reader's, so that none is called slow.
    """

    def __init__(
        self,
        method: Method[RequestT, ResponseT],
        answer: Callable[[RequestT], Iterator[ResponseT] | Iterator[bytes]],
    ) -> None:
        self.path = method.path
        self._method = method
        self._answer = answer

    def __call__(self, request: bytes, caller: Caller) -> Iterator[bytes]:
        """Answer one call.

        Raises:
            StatusError: The call failed, at the first item or later; nothing else is
                ever raised.
        """
        started_ns = time.perf_counter_ns()
        message: RequestT | None = None
        try:
            message = parsed(self._method, request)
            for response in self._answer(message):
                yield _encoded(response)
        except GeneratorExit:
            log_success(self.path, Code.CANCELLED, started_ns, caller)
            raise
        except Exception as error:
            status = status_of(error)
            log_failure(self.path, message, status, error, started_ns, caller)
            raise status from error
        if logs_fine_calls():
            log_success(self.path, Code.OK, started_ns, caller)


@dataclasses.dataclass(frozen=True, slots=True)
class Endpoints:
    """The calls that a server offers, by path."""

    unary: Mapping[str, UnaryCall]
    streams: Mapping[str, StreamCall]

    def __or__(self, other: Endpoints) -> Endpoints:
        """Return the calls of both."""
        return Endpoints(
            {**self.unary, **other.unary}, {**self.streams, **other.streams}
        )


def parsed(method: Method[RequestT, ResponseT], request: bytes) -> RequestT:
    """Return the request of a call.

    Raises:
        InvalidArgumentError: It cannot be read.
    """
    try:
        return method.request.FromString(request)
    except DecodeError as error:
        raise InvalidArgumentError(
            f"the request of {method.path} cannot be read: {error}"
        ) from error


def _encoded(response: Message | bytes) -> bytes:
    return response if isinstance(response, bytes) else response.SerializeToString()


def _key_of(message: Message | None) -> str:
    """Return what a request is about: its key, or the name in its info."""
    key = getattr(message, "key", None)
    if key is None:
        key = getattr(getattr(message, "info", None), "name", "")
    return str(key)


def log_success(path: str, code: Code, started_ns: int, caller: Caller) -> None:
    """Write down a call that ended as it should."""
    log_call(path, "", code, time.perf_counter_ns() - started_ns, caller())


def log_failure(
    path: str,
    message: Message | None,
    status: StatusError,
    error: Exception,
    started_ns: int,
    caller: Caller,
) -> None:
    """Write down a call that failed."""
    duration_ns = time.perf_counter_ns() - started_ns
    # Remove answers a harmless code for any error; the log tells the true one.
    true_code = status_of(error).code
    log_call(
        path,
        _key_of(message),
        true_code,
        duration_ns,
        caller(),
        message=status.message,
        error=error,
        slow=duration_ns >= _SLOW_CALL_NS,
    )
