"""A connection to one unix socket: calls out, errors of ours back."""

from __future__ import annotations

import contextlib
import os
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Final, cast

import grpc

from snapfs.api.codes import Code, has_class_text
from snapfs.api.methods import MAX_MESSAGE_BYTES, Method, RequestT, ResponseT
from snapfs.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    SnapfsError,
    UnavailableError,
)
from snapfs.remote.status import error_of

# unix(7): sun_path has 108 bytes, the last of which is the terminating NUL.
_MAX_PATH_BYTES: Final = 107

_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # A unix socket is never behind a proxy, whatever the environment says.
    ("grpc.enable_http_proxy", 0),
    # Two clients of one socket shall not share a connection: each closes its own.
    ("grpc.use_local_subchannel_pool", 1),
    # A restarted server is found again soon; containerd's client waits up to 3 s.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


class Channel:
    """Calls methods over one socket; threads may share it.

    The connection is made at the first call, and again after it broke. A call with
    nobody at the other end fails at once.

    Args:
        address: The path of a unix socket, of any length; ``unix://`` before it is
            understood.
        timeout_s: How long a call may take; None: as long as it takes.

    Raises:
        InvalidArgumentError: ``address`` is empty or cannot be a path, or the name
            of the socket has a comma in it.
        UnavailableError: ``address`` is too long for the kernel and its directory,
            through which we would reach it, cannot be opened.
    """

    def __init__(self, address: str, *, timeout_s: float | None = None) -> None:
        path = address.removeprefix("unix://")
        if not path or "\0" in path:
            raise InvalidArgumentError(f"{address!r} is not the path of a socket")
        self._path = os.path.abspath(path)
        self._timeout_s = timeout_s
        self._cleanup = contextlib.ExitStack()
        self._lock = threading.Lock()
        self._closed = False
        target = urllib.parse.quote(os.fsencode(self._reachable()))
        self._channel = grpc.insecure_channel(f"unix:{target}", options=_OPTIONS)
        self._cleanup.callback(self._channel.close)
        self._stubs: dict[str, object] = {}

    def call(self, method: Method[RequestT, ResponseT], request: RequestT) -> ResponseT:
        """Make one call, of a method that does not stream; return its response.

        Raises:
            SnapfsError: Of the class that the server raised.
            UnavailableError: Nobody serves, or not in time.
            FailedPreconditionError: The channel is closed.
        """
        stub = cast("Callable[..., ResponseT]", self._stub(method))
        with self._translated():
            return stub(request, timeout=self._timeout_s)

    def stream(
        self,
        method: Method[RequestT, ResponseT],
        request: RequestT,
        *,
        is_long: bool = False,
    ) -> Iterator[ResponseT]:
        """Make one call and return its responses as they come.

        The first one is waited for, so that a refusal is raised here and not at the
        first item. Closing or dropping the iterator cancels the call. A call that
        ``is_long`` has no time limit.

        Raises:
            SnapfsError: As for :meth:`call`; later also by the iterator.
        """
        stub = cast("Callable[..., grpc.Call]", self._stub(method))
        with self._translated():
            call = stub(request, timeout=None if is_long else self._timeout_s)
            first: ResponseT | None = next(call, None)
        return self._responses(call, first)

    def close(self) -> None:
        """Break the connection; calls under way fail. A second call does nothing."""
        with self._lock:
            self._closed = True
        self._cleanup.close()

    def _responses(
        self, call: grpc.Call, response: ResponseT | None
    ) -> Iterator[ResponseT]:
        try:
            while response is not None:
                yield response
                with self._translated():
                    response = next(call, None)
        finally:
            call.cancel()  # does nothing to a call that is over

    def _stub(self, method: Method[RequestT, ResponseT]) -> object:
        with self._lock:
            if self._closed:
                raise FailedPreconditionError(
                    f"the connection to {self._path} is closed"
                )
            stub = self._stubs.get(method.path)
            if stub is None:
                make = (
                    self._channel.unary_stream
                    if method.streams
                    else self._channel.unary_unary
                )
                stub = self._stubs[method.path] = make(
                    method.path,
                    request_serializer=method.request.SerializeToString,
                    response_deserializer=method.response.FromString,
                )
            return stub

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except grpc.RpcError as error:
            raise self._error_of(error) from error
        except ValueError as error:
            if not self._closed:
                raise
            raise FailedPreconditionError(
                f"the connection to {self._path} was closed"
            ) from error

    def _error_of(self, error: grpc.RpcError) -> SnapfsError:
        code = Code(error.code().value[0])
        message = error.details() or ""
        if self._closed:
            return FailedPreconditionError(f"the connection to {self._path} was closed")
        # Our server marks its own words with the class text; gRPC's have none.
        if code is Code.UNAVAILABLE and not has_class_text(code, message):
            return UnavailableError(
                f"nobody answers on {self._path}; start snapfs serve, or name the"
                f" right socket ({message})"
            )
        if code is Code.DEADLINE_EXCEEDED:
            return UnavailableError(
                f"no answer on {self._path} within {self._timeout_s:g} s; the server is"
                " busy or stuck, its log says with what"
            )
        return error_of(code, message)

    def _reachable(self) -> str:
        """Return a path to the socket that the kernel and grpcio both take.

        The kernel has a limit; grpcio reads a comma as the end of an address.
        """
        directory, name = os.path.split(self._path)
        if "," in name:
            raise InvalidArgumentError(
                f"{self._path!r}: a socket's name may not contain a comma"
            )
        is_short = len(os.fsencode(self._path)) <= _MAX_PATH_BYTES
        if is_short and "," not in directory:
            return self._path
        try:
            descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY)
        except OSError as error:
            raise UnavailableError(
                f"nobody serves on {self._path}: {error.strerror}"
            ) from error
        self._cleanup.callback(os.close, descriptor)
        return f"/proc/self/fd/{descriptor}/{name}"
