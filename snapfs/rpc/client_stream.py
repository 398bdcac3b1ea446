"""One call as its client sees it: the response as it comes in."""

from __future__ import annotations

import queue
import threading
import time
from typing import TypeAlias

from snapfs.rpc.connection import STREAM_WINDOW
from snapfs.rpc.frames import ErrorCode, StreamFault
from snapfs.rpc.messages import MessageReader
from snapfs.rpc.status import DEADLINE_EXCEEDED, RpcError
from snapfs.rpc.streams import Stream

# None is the end of a call that succeeded.
_Event: TypeAlias = bytes | RpcError | None


class ClientStream(Stream):
    """A stream that we opened.

    The connection's reader puts in what comes, the caller takes it. A caller that
    stops taking stops its server: the stream's window is opened again only while
    little is left to be taken.

    Attributes:
        has_headers: The response has begun.
    """

    __slots__ = ("_events", "_lock", "_owed", "_reader", "_unread", "has_headers")

    def __init__(self, stream_id: int, max_message_bytes: int) -> None:
        super().__init__(stream_id)
        self.has_headers = False
        self._events: queue.SimpleQueue[_Event] = queue.SimpleQueue()
        self._reader = MessageReader(max_message_bytes)
        self._lock = threading.Lock()
        self._owed = 0
        self._unread = 0

    def feed(self, payload: bytes, size: int) -> int:
        """Take the content of a DATA frame of ``size`` bytes with its padding.

        Returns:
            By how much to open the stream's window, mostly 0.

        Raises:
            StreamFault: The server sent more than the window allows.
            RpcError: A message cannot be taken.
        """
        messages = self._reader.feed(payload)
        with self._lock:
            self._owed += size
            if self._owed > STREAM_WINDOW:
                raise StreamFault(
                    self.id, ErrorCode.FLOW_CONTROL_ERROR, "more than the window"
                )
            self._unread += sum(map(len, messages))
            growth = self._growth()
        for message in messages:
            self._events.put(message)
        return growth

    def finish(self, outcome: RpcError | None) -> None:
        """Say how the call ended."""
        if outcome is None:
            try:
                self._reader.finish()
            except RpcError as error:
                outcome = error
        self._events.put(outcome)

    def next_message(self, deadline: float | None) -> bytes | None:
        """Wait for the next message; return None after the last one.

        Raises:
            RpcError: The call failed, or ``deadline`` passed.
        """
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        try:
            event = self._events.get(timeout=left)
        except queue.Empty:
            raise RpcError(DEADLINE_EXCEEDED, "no answer in time") from None
        if isinstance(event, RpcError):
            raise event
        return event

    def growth_after(self, message: bytes) -> int:
        """Count a message as taken; return by how much to open the window."""
        with self._lock:
            self._unread -= len(message)
            return self._growth()

    def _growth(self) -> int:
        if self._owed * 2 < STREAM_WINDOW or self._unread * 2 > STREAM_WINDOW:
            return 0
        owed, self._owed = self._owed, 0
        return owed
