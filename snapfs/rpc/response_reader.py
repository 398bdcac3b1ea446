"""What a server sends: frames become answers.

The subtle part is a call that we gave up: its server may still send on it for a while,
which is read and otherwise ignored (RFC 9113, 5.1).
"""

from __future__ import annotations

import logging
import socket

from snapfs.rpc import frames
from snapfs.rpc.client_stream import ClientStream
from snapfs.rpc.connection import Connection
from snapfs.rpc.frames import ConnectionFault, ErrorCode, Setting, StreamFault
from snapfs.rpc.header_blocks import HeaderReader
from snapfs.rpc.request_encoder import RequestEncoder
from snapfs.rpc.response_head import (
    UnprocessedError,
    error_of_reset,
    parsed_response,
)
from snapfs.rpc.status import INTERNAL, UNAVAILABLE, RpcError

_log = logging.getLogger(__name__)


class ResponseReader(Connection[ClientStream]):
    """The frames that only a client gets, or takes otherwise than a server."""

    def __init__(
        self, sock: socket.socket, *, send_timeout_s: float, encoder: RequestEncoder
    ) -> None:
        super().__init__(sock, send_timeout_s=send_timeout_s)
        self._headers = HeaderReader(parsed_response)
        self._encoder = encoder
        self._next_id = 1
        self._max_streams = frames.MAX_31_BITS
        self._closed_by = ""  # why no further call can be made

    def _refuse_further(self, reason: str) -> None:
        with self._table.lock:
            self._closed_by = self._closed_by or reason
            self._table.changed.notify_all()

    def _on_greeted(self) -> None:
        """Nothing is due."""

    def _after_read(self) -> bool:
        self._send_batch()
        if self._closed_by and not len(self._table):
            self._writer.shut_down()  # the server waits for that after its GOAWAY
        return True

    def _on_setting(self, key: int, value: int) -> None:
        super()._on_setting(key, value)
        if key == Setting.HEADER_TABLE_SIZE:
            self._encoder.set_table_size(value)
        elif key == Setting.MAX_CONCURRENT_STREAMS:
            self._max_streams = value
            self._table.changed.notify_all()

    def _on_headers(self, stream_id: int, block: bytes, *, ends: bool) -> None:
        head = self._headers.read(block)
        stream = self._open_stream(stream_id)
        if stream is None or (head.is_informational and not ends):
            return
        if ends:
            self._finish(stream, head.outcome())
        elif stream.has_headers:
            raise StreamFault(
                stream_id, ErrorCode.PROTOCOL_ERROR, "trailers before the end"
            )
        elif error := head.error_of_headers():
            self._finish(stream, error, is_ended=False)
        stream.has_headers = True

    def _on_data(
        self, stream_id: int, content: bytes, size: int, *, ends: bool
    ) -> None:
        stream = self._open_stream(stream_id)
        if stream is None:
            return
        if not stream.has_headers:
            raise StreamFault(stream_id, ErrorCode.PROTOCOL_ERROR, "DATA comes first")
        self._gauge.credit()
        try:
            growth = stream.feed(content, size)
        except RpcError as error:
            self._finish(stream, error, is_ended=False)
            return
        if ends:
            self._finish(stream, RpcError(INTERNAL, "the response has no trailers"))
        elif growth:
            self._batch.append(frames.window_update(stream_id, growth))

    def _on_reset(self, stream_id: int, code: int) -> None:
        stream = self._table.get(stream_id)
        if stream is not None:
            self._finish(stream, error_of_reset(code))

    def _on_goaway(self, last_stream_id: int, code: int, message: str) -> None:
        reason = f"the server is going away: {message or 'it gave no reason'}"
        self._refuse_further(reason)
        for stream in self._table.beyond(last_stream_id):
            self._finish(stream, UnprocessedError(UNAVAILABLE, reason))
        if code != ErrorCode.NO_ERROR:
            _log.warning("%s (error %d)", reason, code)

    def _is_idle(self, stream_id: int) -> bool:
        return stream_id >= self._next_id or not stream_id & 1

    def _fail_stream(self, fault: StreamFault) -> None:
        self._batch.append(frames.rst_stream(fault.stream_id, fault.code))
        stream = self._table.get(fault.stream_id)
        if stream is not None:
            self._finish(stream, RpcError(INTERNAL, str(fault)))

    def _open_stream(self, stream_id: int) -> ClientStream | None:
        """Return a stream; None: we gave it up, and the server may not know yet."""
        if self._is_idle(stream_id):
            raise ConnectionFault(
                ErrorCode.PROTOCOL_ERROR, f"stream {stream_id} was never opened"
            )
        return self._table.get(stream_id)

    def _finish(
        self, stream: ClientStream, outcome: RpcError | None, *, is_ended: bool = True
    ) -> None:
        """End a stream; a server that has not is told to."""
        if self._table.end(stream):
            if not is_ended:
                self._batch.append(frames.rst_stream(stream.id, ErrorCode.CANCEL))
            self._gauge.credit()
            stream.finish(outcome)
