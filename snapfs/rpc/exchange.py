"""A call whose requests and responses both are streams, as its client sees it."""

from __future__ import annotations

import time
from typing import Protocol

from snapfs.closing import Closing
from snapfs.rpc.client_connection import ClientConnection
from snapfs.rpc.response_head import UnprocessedError


class Connected(Protocol):
    """What has connections."""

    def connection(self) -> ClientConnection:
        """Return one that takes calls.

        Raises:
            RpcError: There is none.
        """


class RpcExchange(Closing):
    """One call, for one thread at a time. Closing it cancels the call.

    Args:
        client: Whose connection it uses.
        path: Which call.

    Raises:
        RpcError: Nobody serves, or the client is closed.
    """

    def __init__(self, client: Connected, path: str) -> None:
        self._connection = client.connection()
        try:
            self._stream = self._connection.open(path, None, None)
        except UnprocessedError:  # it has just been lost: nothing was sent
            self._connection = client.connection()
            self._stream = self._connection.open(path, None, None)

    def send(self, request: bytes, timeout_s: float | None = None) -> None:
        """Send one more request, waiting for the server if it must.

        If the server has ended the call, nothing happens: :meth:`receive` says how.

        Raises:
            RpcError: It could not be sent in time; the call is cancelled.
        """
        self._connection.send(self._stream, request, _deadline(timeout_s))

    def receive(self, timeout_s: float | None = None) -> bytes | None:
        """Wait for the next response; return None after the last one.

        Raises:
            RpcError: The call failed, or no response came in time.
        """
        return self._connection.take(self._stream, _deadline(timeout_s))

    def end(self) -> None:
        """Say that no request follows; responses may."""
        self._connection.end_requests(self._stream)

    def close(self) -> None:
        """Cancel the call if it is not over."""
        self._connection.cancel(self._stream)


def _deadline(timeout_s: float | None) -> float | None:
    return None if timeout_s is None else time.monotonic() + timeout_s
