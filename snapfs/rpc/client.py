"""A gRPC client on a unix socket."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Final

from snapfs.closing import Closing
from snapfs.rpc.client_connection import ClientConnection
from snapfs.rpc.client_stream import ClientStream
from snapfs.rpc.exchange import RpcExchange
from snapfs.rpc.messages import MAX_MESSAGE_BYTES
from snapfs.rpc.request_encoder import RequestEncoder
from snapfs.rpc.response_head import UnprocessedError
from snapfs.rpc.status import CANCELLED, INTERNAL, UNAVAILABLE, RpcError
from snapfs.rpc.writer import set_send_timeout

# A server that is up takes a connection at once, unless its queue is full.
_CONNECT_TIMEOUT_S: Final = 5.0

# How long the server may read nothing of what we have to send.
_SEND_TIMEOUT_S: Final = 30.0


class RpcClient(Closing):
    """Calls methods of one server; threads may share it.

    The connection is made at the first call, and again after it was lost. A call that
    the server has certainly not begun is made once more on a new connection; any
    other that loses its connection fails.

    Args:
        path: Where the server listens; at most 107 bytes (unix(7)).
        max_message_bytes: The length of a message that is taken.
        metadata: Sent with each call; names in lower case, values in ASCII.
    """

    def __init__(
        self,
        path: str,
        *,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        metadata: Sequence[tuple[str, str]] = (),
    ) -> None:
        self._path = path
        self._max_message_bytes = max_message_bytes
        self._metadata = tuple(metadata)
        self._lock = threading.Lock()
        self._connection: ClientConnection | None = None
        self._is_closed = False

    def call(self, path: str, request: bytes, timeout_s: float | None = None) -> bytes:
        """Make a call and return its one response.

        Raises:
            RpcError: The call failed: as the server says, or ``UNAVAILABLE`` (nobody
                serves), ``DEADLINE_EXCEEDED``, ``CANCELLED`` (the client is closed).
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        try:
            return self._called(path, request, deadline, timeout_s)
        except UnprocessedError:
            return self._called(path, request, deadline, timeout_s)

    def stream(
        self, path: str, request: bytes, timeout_s: float | None = None
    ) -> RpcStream:
        """Make a call and return its responses as they come.

        Raises:
            RpcError: As for :meth:`call`; a refusal comes at the first item.
        """
        return RpcStream(self, path, request, timeout_s)

    def exchange(self, path: str) -> RpcExchange:
        """Begin a call with a stream of requests and one of responses.

        Raises:
            RpcError: Nobody serves, or the client is closed.
        """
        return RpcExchange(self, path)

    def close(self) -> None:
        """End the connection; calls under way fail. A second call does nothing."""
        with self._lock:
            self._is_closed = True
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close("the client was closed")

    def connection(self) -> ClientConnection:
        """Return a connection that takes calls.

        Raises:
            RpcError: There is none.
        """
        connection = self._connection
        if connection is not None and connection.is_open:
            return connection
        with self._lock:
            if self._is_closed:
                raise RpcError(CANCELLED, "the client is closed")
            if self._connection is None or not self._connection.is_open:
                self._connection = self._connect()
            return self._connection

    def _called(
        self, path: str, request: bytes, deadline: float | None, timeout_s: float | None
    ) -> bytes:
        connection = self.connection()
        stream = connection.begin(path, request, deadline, timeout_s)
        try:
            response = connection.take(stream, deadline)
            if response is None or connection.take(stream, deadline) is not None:
                raise RpcError(INTERNAL, f"{path} did not give exactly one response")
        finally:
            if not stream.is_over:
                connection.cancel(stream)
        return response

    def _connect(self) -> ClientConnection:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # SO_SNDTIMEO bounds connect(2) too, where a full queue makes it wait;
            # settimeout() would make it fail at once (EAGAIN).
            set_send_timeout(sock, _CONNECT_TIMEOUT_S)
            sock.connect(self._path)
        except OSError as error:
            sock.close()
            text = f"cannot connect to {self._path}: {error.strerror or error}"
            raise RpcError(UNAVAILABLE, text) from error
        return ClientConnection(
            sock,
            max_message_bytes=self._max_message_bytes,
            send_timeout_s=_SEND_TIMEOUT_S,
            encoder=RequestEncoder(self._metadata),
        )


class RpcStream(Iterator[bytes], Closing):
    """The responses of one call. Closing or dropping it cancels the call.

    For one thread at a time.
    """

    def __init__(
        self, client: RpcClient, path: str, request: bytes, timeout_s: float | None
    ) -> None:
        self._under_way: tuple[ClientConnection, ClientStream] | None = None
        self._client = client
        self._path = path
        self._request = request
        self._timeout_s = timeout_s
        self._deadline = None if timeout_s is None else time.monotonic() + timeout_s
        try:
            self._begin()
        except UnprocessedError:
            self._begin()
        self._may_begin_again = True

    def __next__(self) -> bytes:
        """Return the next response.

        Raises:
            RpcError: The call failed.
        """
        try:
            response = self._take()
        except BaseException:
            self.close()
            raise
        if response is None:
            self._under_way = None
            raise StopIteration
        self._may_begin_again = False
        return response

    def __del__(self) -> None:
        """Cancel what nobody can take any longer."""
        self.close()

    def close(self) -> None:
        """Cancel the call if it is not over."""
        if self._under_way is not None:
            connection, stream = self._under_way
            self._under_way = None
            connection.cancel_soon(stream)

    def _begin(self) -> None:
        connection = self._client.connection()
        connection.expect_cancels()
        stream = connection.begin(
            self._path, self._request, self._deadline, self._timeout_s
        )
        self._under_way = connection, stream

    def _take(self) -> bytes | None:
        if self._under_way is None:
            return None
        try:
            return self._under_way[0].take(self._under_way[1], self._deadline)
        except UnprocessedError:
            if not self._may_begin_again:
                raise
        self._may_begin_again = False
        self._begin()
        return self._take()
