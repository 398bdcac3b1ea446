"""One HTTP/2 connection, as far as both of its ends are alike (RFC 9113).

One thread reads and handles every frame; any thread may send. Frames with a size, a
place or a content that the RFC forbids end the stream or the connection with the code
that it names.
"""

from __future__ import annotations

import abc
import socket
from collections.abc import Mapping
from typing import Final, Generic

from snapfs.rpc import frames
from snapfs.rpc.flood import COSTLY, FloodGauge
from snapfs.rpc.frame_reader import FrameHandler, FrameReader
from snapfs.rpc.frames import ConnectionFault, ErrorCode, Setting, StreamFault
from snapfs.rpc.header_blocks import MAX_HEADER_LIST_SIZE
from snapfs.rpc.streams import ReceiveWindow, StreamT, StreamTable
from snapfs.rpc.writer import Writer

# What a peer may send before we open the window again. Most messages fit; more would
# only let a peer fill more of our memory.
STREAM_WINDOW: Final = 1 << 20
CONNECTION_WINDOW: Final = 4 << 20

_PRIORITY_SIZE: Final = 5
_PING_SIZE: Final = 8


class Connection(FrameReader, Generic[StreamT]):
    """The frames that mean the same at both ends, and the way out.

    Args:
        sock: Connected and blocking. The reader closes it at the end.
        send_timeout_s: How long the peer may read nothing while we have something
            to send.
    """

    def __init__(self, sock: socket.socket, *, send_timeout_s: float) -> None:
        super().__init__(sock)
        self._writer = Writer(sock, send_timeout_s)
        self._table: StreamTable[StreamT] = StreamTable()
        self._gauge = FloodGauge()
        self._window = ReceiveWindow(CONNECTION_WINDOW)
        # What the reader sends goes out together once its input is used up.
        self._batch: list[bytes] = []

    @abc.abstractmethod
    def _on_data(
        self, stream_id: int, content: bytes, size: int, *, ends: bool
    ) -> None:
        """Handle the content of a DATA frame, already counted for the connection.

        ``size`` is what it counts for the stream: the content and its padding.
        """

    @abc.abstractmethod
    def _on_reset(self, stream_id: int, code: int) -> None:
        """Handle a RST_STREAM frame for a stream that is not idle."""

    @abc.abstractmethod
    def _on_goaway(self, last_stream_id: int, code: int, message: str) -> None:
        """Handle a GOAWAY frame."""

    @abc.abstractmethod
    def _is_idle(self, stream_id: int) -> bool:
        """Return whether a stream was never opened (RFC 9113, 5.1)."""

    @abc.abstractmethod
    def _fail_stream(self, fault: StreamFault) -> None:
        """End the stream on which the peer broke a rule, and tell it."""

    def _on_setting(self, key: int, value: int) -> None:
        """Apply one setting of the peer; with the table's lock held."""
        if key == Setting.INITIAL_WINDOW_SIZE:
            self._table.set_initial_window(value)

    def _send_batch(self) -> None:
        """Send what the reader has to send."""
        if self._batch:
            data = b"".join(self._batch)
            self._batch.clear()
            self._writer.send(data)

    @staticmethod
    def _greeting(settings: Mapping[Setting, int]) -> bytes:
        """Return our SETTINGS, and of the connection's window what is beyond them."""
        common = {
            Setting.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
            Setting.MAX_HEADER_LIST_SIZE: MAX_HEADER_LIST_SIZE,
        }
        growth = CONNECTION_WINDOW - frames.DEFAULT_WINDOW
        return frames.settings({**common, **settings}) + frames.window_update(0, growth)

    def _frame_handlers(self) -> Mapping[int, FrameHandler]:
        return {
            frames.DATA: self._on_data_frame,
            frames.PRIORITY: self._on_priority,
            frames.RST_STREAM: self._on_rst_stream,
            frames.SETTINGS: self._on_settings,
            frames.PUSH_PROMISE: self._refuse_push,
            frames.PING: self._on_ping,
            frames.GOAWAY: self._on_goaway_frame,
            frames.WINDOW_UPDATE: self._on_window_update,
            frames.CONTINUATION: self._refuse_continuation,
        }

    def _on_stream_fault(self, fault: StreamFault) -> None:
        self._gauge.count(COSTLY)
        self._fail_stream(fault)

    def _on_data_frame(self, flags: int, stream_id: int, payload: bytes) -> None:
        # Padding counts too (RFC 9113, 6.9.1), and frames of streams that are over.
        if not self._window.use(len(payload)):
            raise ConnectionFault(
                ErrorCode.FLOW_CONTROL_ERROR, "more DATA than the window allows"
            )
        if growth := self._window.growth():
            self._batch.append(frames.window_update(0, growth))
        if not stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "DATA on stream 0")
        size = len(payload)
        if flags & frames.PADDED:
            payload = frames.unpadded(flags, payload)
        self._on_data(stream_id, payload, size, ends=bool(flags & frames.END_STREAM))

    def _on_priority(self, flags: int, stream_id: int, payload: bytes) -> None:
        # Deprecated and without effect (RFC 9113, 5.3.2); its form is checked (6.3).
        self._gauge.count()
        if not stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PRIORITY on stream 0")
        if len(payload) != _PRIORITY_SIZE:
            raise StreamFault(
                stream_id,
                ErrorCode.FRAME_SIZE_ERROR,
                f"PRIORITY of {len(payload)} bytes",
            )

    def _on_rst_stream(self, flags: int, stream_id: int, payload: bytes) -> None:
        code = frames.parsed_word(payload, "RST_STREAM")
        self._refuse_idle(stream_id, "RST_STREAM")
        self._on_reset(stream_id, code)

    def _on_settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "SETTINGS on a stream")
        self._gauge.count()
        if flags & frames.ACK:
            if payload:
                raise ConnectionFault(
                    ErrorCode.FRAME_SIZE_ERROR, "SETTINGS with ACK and content"
                )
            return
        pairs = frames.parsed_settings(payload)
        self._gauge.count(len(pairs))
        # What the old values allowed goes out before the acknowledgement, what only
        # the new ones allow after it (RFC 9113, 6.5.3).
        self._send_batch()
        with self._table.lock:
            for key, value in pairs:
                self._on_setting(key, value)
            self._writer.send(frames.SETTINGS_ACK)

    def _on_ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PING on a stream")
        if len(payload) != _PING_SIZE:
            raise ConnectionFault(
                ErrorCode.FRAME_SIZE_ERROR, f"PING of {len(payload)} bytes"
            )
        self._gauge.count()
        if not flags & frames.ACK:
            self._batch.append(frames.ping_ack(payload))

    def _on_goaway_frame(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "GOAWAY on a stream")
        self._gauge.count()
        self._on_goaway(*frames.parsed_goaway(payload))

    def _on_window_update(self, flags: int, stream_id: int, payload: bytes) -> None:
        growth = frames.parsed_word(payload, "WINDOW_UPDATE") & frames.MAX_31_BITS
        self._gauge.count()
        if stream_id:
            self._refuse_idle(stream_id, "WINDOW_UPDATE")
        self._table.grow(stream_id, growth)

    def _on_unknown(self, flags: int, stream_id: int, payload: bytes) -> None:
        # Unknown types are ignored and discarded (RFC 9113, 4.1).
        self._gauge.count()

    def _refuse_continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "CONTINUATION of nothing")

    def _refuse_push(self, flags: int, stream_id: int, payload: bytes) -> None:
        # A client never pushes, and ours forbids it (RFC 9113, 8.4).
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE")

    def _refuse_idle(self, stream_id: int, kind: str) -> None:
        if not stream_id or self._is_idle(stream_id):
            raise ConnectionFault(
                ErrorCode.PROTOCOL_ERROR, f"{kind} on stream {stream_id}, never opened"
            )
