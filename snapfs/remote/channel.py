"""A connection to one unix socket: calls out, errors of ours back."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Final, Generic

from google.protobuf.message import DecodeError

from snapfs.api.codes import Code, has_class_text
from snapfs.api.methods import MAX_MESSAGE_BYTES, Method, RequestT, ResponseT
from snapfs.closing import Closing
from snapfs.errors import (
    DataLossError,
    FailedPreconditionError,
    InvalidArgumentError,
    PermissionDeniedError,
    SnapfsError,
    UnavailableError,
)
from snapfs.remote.status import error_of
from snapfs.rpc import RpcClient, RpcError
from snapfs.rpc.client import RpcStream
from snapfs.rpc.exchange import RpcExchange

# unix(7): sun_path has 108 bytes, the last of which is the terminating NUL.
_MAX_PATH_BYTES: Final = 107

_ADVICE: Final = "start snapfs serve, or name the right socket"


class Channel:
    """Calls methods over one socket; threads may share it.

    The connection is made at the first call, and again after it broke. A call with
    nobody at the other end fails at once.

    Args:
        address: The path of a unix socket, of any length; ``unix://`` before it is
            understood.
        timeout_s: How long a call may take; None: as long as it takes.
        metadata: Sent with each call; names in lower case, values in ASCII.
        advice: What a message says to do where nobody answers.

    Raises:
        InvalidArgumentError: ``address`` is empty or cannot be a path, or the name
            of the socket has a comma in it.
        UnavailableError: ``address`` is too long for the kernel and its directory,
            through which we would reach it, cannot be opened.
    """

    def __init__(
        self,
        address: str,
        *,
        timeout_s: float | None = None,
        metadata: Sequence[tuple[str, str]] = (),
        advice: str = _ADVICE,
    ) -> None:
        path = address.removeprefix("unix://")
        if not path or "\0" in path:
            raise InvalidArgumentError(f"{address!r} is not the path of a socket")
        self._path = os.path.abspath(path)
        self._timeout_s = timeout_s
        self._advice = advice
        self._cleanup = contextlib.ExitStack()
        self._closed = False
        self._client = RpcClient(
            self._reachable(), max_message_bytes=MAX_MESSAGE_BYTES, metadata=metadata
        )

    def call(
        self,
        method: Method[RequestT, ResponseT],
        request: RequestT,
        *,
        is_long: bool = False,
    ) -> ResponseT:
        """Make one call, of a method that does not stream; return its response.

        A call that ``is_long`` takes as long as it takes.

        Raises:
            SnapfsError: Of the class that the server raised.
            UnavailableError: Nobody serves, or not in time.
            PermissionDeniedError: The socket is not for this user.
            FailedPreconditionError: The channel is closed.
        """
        with self.translated():
            return method.response.FromString(
                self._client.call(
                    method.path,
                    request.SerializeToString(),
                    None if is_long else self._timeout_s,
                )
            )

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
        with self.translated():
            answers = self._client.stream(
                method.path,
                request.SerializeToString(),
                None if is_long else self._timeout_s,
            )
            first = next(answers, None)
        return self._responses(method, answers, first)

    def exchange(
        self, method: Method[RequestT, ResponseT]
    ) -> Exchange[RequestT, ResponseT]:
        """Begin a call with a stream of requests and one of responses.

        Raises:
            SnapfsError: As for :meth:`call`.
        """
        with self.translated():
            return Exchange(self, method, self._client.exchange(method.path))

    def close(self) -> None:
        """Break the connection; calls under way fail. A second call does nothing."""
        self._closed = True
        self._client.close()
        self._cleanup.close()

    def _responses(
        self,
        method: Method[RequestT, ResponseT],
        answers: RpcStream,
        answer: bytes | None,
    ) -> Iterator[ResponseT]:
        with answers:
            while answer is not None:
                with self.translated():
                    response = method.response.FromString(answer)
                yield response
                with self.translated():
                    answer = next(answers, None)

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """Raise what the transport raises in the block as an error of ours."""
        try:
            yield
        except RpcError as error:
            raise self._error_of(error) from error
        except DecodeError as error:
            raise DataLossError(
                f"an answer on {self._path} cannot be read: {error}"
            ) from error

    def _error_of(self, error: RpcError) -> SnapfsError:
        code = Code(error.code)
        message = error.message
        if self._closed:
            return FailedPreconditionError(f"the connection to {self._path} was closed")
        if isinstance(error.__cause__, PermissionError):
            return PermissionDeniedError(
                f"{self._path} does not take calls from this user ({message})"
            )
        # Our server marks its own words with the class text; gRPC's have none.
        if code is Code.UNAVAILABLE and not has_class_text(code, message):
            return UnavailableError(
                f"nobody answers on {self._path}; {self._advice} ({message})"
            )
        if code is Code.DEADLINE_EXCEEDED:
            return UnavailableError(
                f"no answer on {self._path} within {self._timeout_s:g} s; the server is"
                " busy or stuck, its log says with what"
            )
        return error_of(code, message)

    def _reachable(self) -> str:
        """Return a path to the socket that is short enough for the kernel."""
        if len(os.fsencode(self._path)) <= _MAX_PATH_BYTES:
            return self._path
        directory, name = os.path.split(self._path)
        try:
            descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY)
        except OSError as error:
            raise UnavailableError(
                f"nobody serves on {self._path}: {error.strerror}"
            ) from error
        self._cleanup.callback(os.close, descriptor)
        return f"/proc/self/fd/{descriptor}/{name}"


class Exchange(Closing, Generic[RequestT, ResponseT]):
    """A call with a stream each way; for one thread at a time.

    Each request is answered by one response. Closing cancels the call.
    """

    def __init__(
        self, channel: Channel, method: Method[RequestT, ResponseT], call: RpcExchange
    ) -> None:
        self._channel = channel
        self._method = method
        self._call = call

    def ask(self, request: RequestT, timeout_s: float) -> ResponseT:
        """Send a request and wait for its response.

        Raises:
            SnapfsError: Of the class that the server raised.
            UnavailableError: There is no answer in time, or the server ended the call.
        """
        with self._channel.translated():
            self._call.send(request.SerializeToString(), timeout_s)
            answer = self._call.receive(timeout_s)
            if answer is not None:
                return self._method.response.FromString(answer)
        raise UnavailableError(f"{self._method.path} ended before its answer")

    def close(self) -> None:
        """Cancel the call if it is not over."""
        self._call.close()
