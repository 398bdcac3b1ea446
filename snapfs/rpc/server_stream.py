"""One call as its server sees it: the request as it comes in."""

from __future__ import annotations

import threading
from typing import Final

from snapfs.rpc.connection import STREAM_WINDOW
from snapfs.rpc.frames import ErrorCode, StreamFault
from snapfs.rpc.messages import MessageReader, only_message
from snapfs.rpc.request import RequestHead
from snapfs.rpc.status import RESOURCE_EXHAUSTED, UNIMPLEMENTED, RpcError
from snapfs.rpc.streams import ReceiveWindow, Stream


class Budget:
    """How many bytes of requests in parts a server keeps, for all its clients."""

    def __init__(self, limit: int) -> None:
        self._left = limit
        self._lock = threading.Lock()

    def take(self, count: int) -> bool:
        """Take note of bytes that are kept; return False if there is no room."""
        with self._lock:
            if count > self._left:
                return False
            self._left -= count
        return True

    def give(self, count: int) -> None:
        """Take note of bytes that are not kept any longer."""
        with self._lock:
            self._left += count


class ServerStream(Stream):
    """A stream that a client opened.

    Attributes:
        head: What its headers say.
        deadline: Until when its caller waits, on the monotonic clock; None: forever.
        is_half_closed: The request has ended.
        is_running: A handler has it, or will.
        kept_bytes: What it has taken of the budget.
    """

    __slots__ = (
        "_message",
        "_reader",
        "_received",
        "_window",
        "deadline",
        "head",
        "is_half_closed",
        "is_running",
        "kept_bytes",
    )

    def __init__(
        self, stream_id: int, head: RequestHead, deadline: float | None
    ) -> None:
        super().__init__(stream_id)
        self.head: Final = head
        self.deadline: Final = deadline
        self.is_half_closed = False
        self.is_running = False
        self.kept_bytes = 0
        self._received = 0
        self._message: bytes | None = None
        self._reader: MessageReader | None = None
        self._window: ReceiveWindow | None = None

    def whole_request(self, payload: bytes) -> bytes | None:
        """Return the request if this first and last frame is exactly that."""
        if self._reader is None and self.head.content_length is None:
            return only_message(payload)
        return None

    def feed(self, payload: bytes, budget: Budget, max_bytes: int) -> None:
        """Take a part of the request.

        Raises:
            StreamFault: It is longer than it announced.
            RpcError: It cannot be taken.
        """
        self._received += len(payload)
        length = self.head.content_length
        if length is not None and self._received > length:
            raise StreamFault(
                self.id, ErrorCode.PROTOCOL_ERROR, "more than content-length"
            )
        if self._reader is None:
            self._reader = MessageReader(max_bytes)
        if not budget.take(len(payload)):
            raise RpcError(RESOURCE_EXHAUSTED, "too many large requests at a time")
        self.kept_bytes += len(payload)
        for message in self._reader.feed(payload):
            if self._message is not None:
                raise RpcError(UNIMPLEMENTED, "a second request message")
            self._message = message

    def window_growth(self, size: int) -> int | None:
        """Count ``size`` bytes of DATA; return the growth of the window to announce.

        None: the client sent more than it may.
        """
        if self._window is None:
            self._window = ReceiveWindow(STREAM_WINDOW)
        return self._window.growth() if self._window.use(size) else None

    def finished_request(self) -> bytes:
        """Return the request, which has ended.

        Raises:
            StreamFault: It is shorter than it announced.
            RpcError: It is not exactly one message.
        """
        length = self.head.content_length
        if length is not None and self._received != length:
            raise StreamFault(
                self.id, ErrorCode.PROTOCOL_ERROR, "less than content-length"
            )
        if self._reader is not None:
            self._reader.finish()
        if self._message is None:
            raise RpcError(UNIMPLEMENTED, "no request message")
        message, self._message = self._message, None
        return message
