"""The streams of a connection and how much may be sent on them.

Flow control of what we send (RFC 9113, 5.2 and 6.9): each DATA frame uses up some of
its stream's window and of the connection's. Whoever waits for a window waits here,
without any other lock, so that one slow stream holds up nobody else.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from snapfs.rpc.frames import (
    DEFAULT_WINDOW,
    MAX_31_BITS,
    ConnectionFault,
    ErrorCode,
    StreamFault,
)


class Stream:
    """What every stream has.

    Attributes:
        id: Its number.
        send_window: How many bytes the peer takes; a change of its settings may make
            it negative.
        is_over: Nothing more is sent: it was answered, reset, or lost its connection.
    """

    __slots__ = ("id", "is_over", "send_window")

    def __init__(self, stream_id: int) -> None:
        self.id = stream_id
        self.send_window = 0
        self.is_over = False


StreamT = TypeVar("StreamT", bound=Stream)


class StreamTable(Generic[StreamT]):
    """The open streams of one connection.

    Attributes:
        lock: Held for every change; owners may guard fields of their own with it. It
            is also held while DATA is handed to the writer, which never waits: what
            a window allowed must not go out behind the news that it is smaller.
        changed: Notified, with ``lock`` held, when a stream ends or a window grows
            that somebody waits for; owners may add occasions.
    """

    def __init__(self) -> None:
        self.lock: Final = threading.Lock()
        self.changed: Final = threading.Condition(self.lock)
        self._streams: dict[int, StreamT] = {}
        self._window = DEFAULT_WINDOW
        self._initial_window = DEFAULT_WINDOW
        self._waiting = 0
        self.get: Final[Callable[[int], StreamT | None]] = self._streams.get

    def __len__(self) -> int:
        """Return how many streams are open."""
        return len(self._streams)

    def add(self, stream: StreamT) -> None:
        """Add a new stream; with ``lock`` held."""
        stream.send_window = self._initial_window
        self._streams[stream.id] = stream

    def end(self, stream: StreamT) -> bool:
        """End a stream, whoever waits for its window included.

        Returns:
            Whether it was open: of several threads that end it, one wins.
        """
        with self.lock:
            if stream.is_over:
                return False
            self._end(stream)
        return True

    def end_after(self, stream: StreamT, size: int) -> bool:
        """End a stream with ``size`` bytes of DATA if it may send them right now.

        With ``lock`` held.
        """
        if stream.is_over or size > self._window or size > stream.send_window:
            return False
        self._window -= size
        self._end(stream)
        return True

    def beyond(self, stream_id: int) -> list[StreamT]:
        """Return the open streams with a higher number."""
        with self.lock:
            return [s for s in self._streams.values() if s.id > stream_id]

    def end_all(self) -> list[StreamT]:
        """End and return every stream."""
        with self.lock:
            streams = list(self._streams.values())
            for stream in streams:
                self._end(stream)
        return streams

    def take(self, stream: StreamT, wanted: int, deadline: float | None) -> int:
        """Wait until ``stream`` may send, and use up to ``wanted`` bytes of its window.

        With ``lock`` held, but while it waits.

        Returns:
            How many bytes may be sent; 0 if the stream is over, or ``deadline`` (of
            the monotonic clock) has passed.
        """
        while not stream.is_over:
            if granted := self.grant(stream, wanted):
                return granted
            if not self.wait(deadline):
                break
        return 0

    def grant(self, stream: StreamT, wanted: int) -> int:
        """Use up to ``wanted`` bytes of a window; with ``lock`` held, without waiting.

        Returns:
            How many bytes may be sent.
        """
        granted = min(wanted, self._window, stream.send_window)
        if granted <= 0:
            return 0
        self._window -= granted
        stream.send_window -= granted
        return granted

    def grow(self, stream_id: int, growth: int) -> None:
        """Take note of a WINDOW_UPDATE; on a stream that is over it means nothing.

        Raises:
            ConnectionFault: A growth of the connection's window by nothing, or beyond
                what 31 bits hold (RFC 9113, 6.9 and 6.9.1).
            StreamFault: The same of a stream's.
        """
        if not growth:
            raise _fault(stream_id, ErrorCode.PROTOCOL_ERROR, "growth by nothing")
        with self.lock:
            if not stream_id:
                self._window = _grown(0, self._window, growth)
            elif (stream := self._streams.get(stream_id)) is not None:
                stream.send_window = _grown(stream_id, stream.send_window, growth)
            if self._waiting:
                self.changed.notify_all()

    def set_initial_window(self, size: int) -> None:
        """Apply INITIAL_WINDOW_SIZE to all streams, open ones too (RFC 9113, 6.9.2).

        With ``lock`` held.

        Raises:
            ConnectionFault: A window grows beyond what 31 bits hold.
        """
        growth = size - self._initial_window
        self._initial_window = size
        for stream in self._streams.values():
            stream.send_window += growth
            if stream.send_window > MAX_31_BITS:
                raise ConnectionFault(
                    ErrorCode.FLOW_CONTROL_ERROR, "a window grew beyond 31 bits"
                )
        if self._waiting:
            self.changed.notify_all()

    def wait(self, deadline: float | None) -> bool:
        """Wait for a change, with ``lock`` held; return False if no time is left."""
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            return False
        self._waiting += 1
        try:
            self.changed.wait(left)
        finally:
            self._waiting -= 1
        return True

    def _end(self, stream: StreamT) -> None:
        stream.is_over = True
        self._streams.pop(stream.id, None)
        if self._waiting:
            self.changed.notify_all()


class ReceiveWindow:
    """How much a peer may still send, on a stream or a connection.

    The window is opened again when half of it is used up, not for each frame.
    """

    __slots__ = ("_owed", "_size")

    def __init__(self, size: int) -> None:
        self._size = size
        self._owed = 0

    def use(self, count: int) -> bool:
        """Take note of what was received; return False if it was too much."""
        self._owed += count
        return self._owed <= self._size

    def growth(self) -> int:
        """Return by how much to open the window now, mostly 0, and count it done."""
        if self._owed * 2 < self._size:
            return 0
        owed, self._owed = self._owed, 0
        return owed


def _grown(stream_id: int, window: int, growth: int) -> int:
    if window + growth > MAX_31_BITS:
        raise _fault(stream_id, ErrorCode.FLOW_CONTROL_ERROR, "growth beyond 31 bits")
    return window + growth


def _fault(
    stream_id: int, code: ErrorCode, message: str
) -> ConnectionFault | StreamFault:
    if stream_id:
        return StreamFault(stream_id, code, message)
    return ConnectionFault(code, message)
