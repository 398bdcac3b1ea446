"""Endpoints with an observer: told of each call as it ends.

A layer of its own, put around the endpoints only where somebody wants to know.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeAlias

from snapfs.api.codes import Code
from snapfs.service.dispatch import Caller, Endpoints, StreamCall, UnaryCall
from snapfs.service.status import StatusError, status_of

Observe: TypeAlias = Callable[[str, Code, int], None]
"""Takes the path of a call, how it ended, and its time in nanoseconds."""


def observed(endpoints: Endpoints, observe: Observe) -> Endpoints:
    """Return ``endpoints`` that tell ``observe`` of each call."""
    return Endpoints(
        {
            path: _observed_unary(path, call, observe)
            for path, call in endpoints.unary.items()
        },
        {
            path: _observed_stream(path, call, observe)
            for path, call in endpoints.streams.items()
        },
    )


def _observed_unary(path: str, call: UnaryCall, observe: Observe) -> UnaryCall:
    def answer(request: bytes, caller: Caller) -> bytes:
        started_ns = time.perf_counter_ns()
        try:
            response = call(request, caller)
        except StatusError as status:
            observe(path, true_code(status), time.perf_counter_ns() - started_ns)
            raise
        observe(path, Code.OK, time.perf_counter_ns() - started_ns)
        return response

    return answer


def _observed_stream(path: str, call: StreamCall, observe: Observe) -> StreamCall:
    def answer(request: bytes, caller: Caller) -> Iterator[bytes | None]:
        started_ns = time.perf_counter_ns()
        code = Code.OK
        try:
            yield from call(request, caller)
        except GeneratorExit:
            code = Code.CANCELLED
            raise
        except StatusError as status:
            code = true_code(status)
            raise
        finally:
            observe(path, code, time.perf_counter_ns() - started_ns)

    return answer


def true_code(status: StatusError) -> Code:
    """Return how a call failed; Remove tells its callers a harmless code."""
    cause = status.__cause__
    return status_of(cause).code if isinstance(cause, Exception) else status.code
