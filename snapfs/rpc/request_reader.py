"""What a client sends: frames become calls.

The subtle part is a stream that is refused, reset or answered early: its client may
still send on it for a while, which must be counted and otherwise ignored (RFC 9113,
5.1).
"""

from __future__ import annotations

import abc
import functools
import logging
import socket
import time
from typing import Final

from snapfs.rpc import frames, responses
from snapfs.rpc.calls import Peer
from snapfs.rpc.connection import Connection
from snapfs.rpc.flood import COSTLY
from snapfs.rpc.frames import ConnectionFault, ErrorCode, Setting, StreamFault
from snapfs.rpc.header_blocks import HeaderReader
from snapfs.rpc.request import RequestHead, RequestParser
from snapfs.rpc.runner import Runner
from snapfs.rpc.server_resources import ServerResources
from snapfs.rpc.server_stream import ServerStream
from snapfs.rpc.status import INTERNAL, RESOURCE_EXHAUSTED, RpcError
from snapfs.rpc.turns import ReadingTurn

_log = logging.getLogger(__name__)

MAX_CONCURRENT_STREAMS: Final = 256

# Calls at work that a client has, those included that it has reset. A call that was
# answered is still at work for a moment: the client may open the next one by then.
_MAX_CALLS: Final = 2 * MAX_CONCURRENT_STREAMS

# Streams that we reset and whose client may not know yet.
_REMEMBERED_RESETS: Final = 256


class RequestReader(Connection[ServerStream]):
    """The frames that only a server gets, or takes otherwise than a client."""

    def __init__(
        self, sock: socket.socket, peer: Peer, resources: ServerResources
    ) -> None:
        super().__init__(sock, send_timeout_s=resources.send_timeout_s)
        self._peer = peer
        self._resources = resources
        self._headers = HeaderReader(RequestParser(resources.routes, peer))
        self._runner = Runner(
            self._table,
            self._writer,
            self._gauge,
            resources.streamers,
            resources.budget,
            resources.max_message_bytes,
        )
        self._highest_id = 0
        self._is_draining = False
        self._resets: dict[int, None] = {}
        self._answered: list[ServerStream] = []
        self._deferred: tuple[ServerStream, bytes] | None = None
        self._turn = ReadingTurn(resources.watch, sock.fileno(), self.read_on)
        self._writer.send(
            self._greeting({Setting.MAX_CONCURRENT_STREAMS: MAX_CONCURRENT_STREAMS})
        )

    def _on_greeted(self) -> None:
        self._sock.settimeout(None)

    @abc.abstractmethod
    def read_on(self) -> None:
        """Read on, having taken the turn from a thread that runs a call."""

    def _after_read(self) -> bool:
        self._send_batch()
        if self._answered:
            self._release_answered()
        if self._deferred is not None and not self._run_deferred():
            return False
        # A client that sends and does not read is not read either.
        self._writer.wait_for_room()
        return True

    def _on_headers(self, stream_id: int, block: bytes, *, ends: bool) -> None:
        head = self._headers.read(block)
        if stream_id <= self._highest_id or not stream_id & 1:
            self._on_late_headers(stream_id, head, ends=ends)
            return
        patience = head.timeout_s
        deadline = None if patience is None else time.monotonic() + patience
        stream = ServerStream(stream_id, head, deadline)
        is_admitted = self._open(stream)
        if head.malformed:
            raise StreamFault(stream_id, ErrorCode.PROTOCOL_ERROR, head.malformed)
        if not is_admitted:
            self._gauge.count(COSTLY)
            self._reset(stream_id, ErrorCode.REFUSED_STREAM)
        elif head.route is None:
            self._refuse(stream, head.failure, ends=ends)
        elif ends:
            self._end_request(stream)

    def _on_data(
        self, stream_id: int, content: bytes, size: int, *, ends: bool
    ) -> None:
        stream = self._table.get(stream_id)
        if stream is None or stream.is_half_closed:
            self._on_late_data(stream_id)
            return
        if ends and (request := stream.whole_request(content)) is not None:
            self._begin(stream, request)
            return
        growth = stream.window_growth(size)
        if growth is None:
            raise StreamFault(
                stream_id, ErrorCode.FLOW_CONTROL_ERROR, "more than the window allows"
            )
        if not content:
            self._gauge.count()
        try:
            stream.feed(
                content, self._resources.budget, self._resources.max_message_bytes
            )
        except RpcError as error:
            self._refuse(stream, error, ends=ends)
            return
        if ends:
            self._end_request(stream)
        elif growth:
            self._batch.append(frames.window_update(stream_id, growth))

    def _on_reset(self, stream_id: int, code: int) -> None:
        self._gauge.count(COSTLY)
        stream = self._table.get(stream_id)
        if stream is not None:
            self._abandon(stream)

    def _on_goaway(self, last_stream_id: int, code: int, message: str) -> None:
        if code != ErrorCode.NO_ERROR:
            _log.warning("%s leaves: error %d, %r", self._peer, code, message)

    def _is_idle(self, stream_id: int) -> bool:
        return stream_id > self._highest_id or not stream_id & 1

    def _fail_stream(self, fault: StreamFault) -> None:
        _log.info("a call of %s was ended: %s", self._peer, fault)
        stream = self._table.get(fault.stream_id)
        if stream is not None:
            self._abandon(stream)
        self._reset(fault.stream_id, fault.code)

    def _open(self, stream: ServerStream) -> bool:
        with self._table.lock:
            self._highest_id = stream.id
            if (
                self._is_draining
                or len(self._table) >= MAX_CONCURRENT_STREAMS
                or self._runner.count >= _MAX_CALLS
            ):
                return False
            self._runner.admit(stream)
        return True

    def _on_late_headers(
        self, stream_id: int, head: RequestHead, *, ends: bool
    ) -> None:
        """Handle headers that open no stream: trailers, or a mistake."""
        if not stream_id & 1:
            raise ConnectionFault(
                ErrorCode.PROTOCOL_ERROR, f"a client opened stream {stream_id}"
            )
        stream = self._table.get(stream_id)
        if stream is None:
            if stream_id in self._resets:
                return
            raise ConnectionFault(
                ErrorCode.STREAM_CLOSED, f"HEADERS on stream {stream_id}, closed"
            )
        if stream.is_half_closed:
            raise StreamFault(
                stream_id, ErrorCode.STREAM_CLOSED, "HEADERS after the end"
            )
        if not ends or not head.is_trailers:
            raise StreamFault(stream_id, ErrorCode.PROTOCOL_ERROR, "malformed trailers")
        self._end_request(stream)

    def _on_late_data(self, stream_id: int) -> None:
        """Handle DATA on a stream that is not open for it."""
        if self._is_idle(stream_id):
            raise ConnectionFault(
                ErrorCode.PROTOCOL_ERROR, f"DATA on stream {stream_id}, never opened"
            )
        self._gauge.count()
        if stream_id not in self._resets:
            raise StreamFault(stream_id, ErrorCode.STREAM_CLOSED, "DATA after the end")

    def _end_request(self, stream: ServerStream) -> None:
        try:
            request = stream.finished_request()
        except RpcError as error:
            self._refuse(stream, error, ends=True)
        else:
            self._begin(stream, request)

    def _begin(self, stream: ServerStream, request: bytes) -> None:
        """Have a complete request answered."""
        if self._deferred is not None:
            self._submit_deferred()
        stream.is_half_closed = True
        route = stream.head.route
        assert route is not None
        runner = self._runner
        if route.is_inline:
            stream.is_running = True
            if runner.answer(stream, request, self._batch.append):
                self._answered.append(stream)
            return
        if route.stream is None:
            stream.is_running = True
            self._deferred = stream, request
            return
        job = functools.partial(runner.stream, stream, request)
        stream.is_running = self._resources.streamers.submit_now(job)
        if not stream.is_running:
            self._refuse_excess(stream)

    def _run_deferred(self) -> bool:
        """Run the call that came last, if there is room; return whose turn it is then.

        See ``turns``. Until the turn is taken back, nothing is touched that belongs
        to the reader.
        """
        callers, turn = self._resources.callers, self._turn
        if not callers.enter():
            self._submit_deferred()
            return True
        stream, request = self._take_deferred()
        # The response may wake the client on this very processor, and its next request
        # come before this thread goes on: the turn is taken back first.
        job = functools.partial(
            self._runner.answer_and_release, stream, request, turn.take_back
        )
        turn.give_up()
        callers.run(job)
        return turn.take_back()

    def _submit_deferred(self) -> None:
        """Have a thread run the call that was not the last one after all."""
        stream, request = self._take_deferred()
        job = functools.partial(self._runner.answer_and_release, stream, request)
        stream.is_running = self._resources.callers.submit(job)
        if not stream.is_running:
            self._refuse_excess(stream)

    def _take_deferred(self) -> tuple[ServerStream, bytes]:
        assert self._deferred is not None
        deferred, self._deferred = self._deferred, None
        return deferred

    def _refuse_excess(self, stream: ServerStream) -> None:
        error = RpcError(RESOURCE_EXHAUSTED, "too many calls are under way")
        self._refuse(stream, error, ends=True)

    def _refuse(
        self, stream: ServerStream, error: RpcError | None, *, ends: bool
    ) -> None:
        """Answer a call that does not begin.

        A client that has not ended its request is told to stop (RFC 9113, 8.1).
        """
        status = stream.head.http_status
        if status:
            if self._table.end(stream):
                self._batch.append(responses.http_error(stream.id, status))
        else:
            error = error or RpcError(INTERNAL, "the call was refused")
            self._runner.fail(stream, error, self._batch.append)
        if not ends:
            self._reset(stream.id, ErrorCode.NO_ERROR)
        self._runner.release(stream)

    def _abandon(self, stream: ServerStream) -> None:
        if self._table.end(stream) and not stream.is_running:
            self._runner.release(stream)

    def _reset(self, stream_id: int, code: ErrorCode) -> None:
        self._batch.append(frames.rst_stream(stream_id, code))
        self._resets[stream_id] = None
        if len(self._resets) > _REMEMBERED_RESETS:
            del self._resets[next(iter(self._resets))]

    def _release_answered(self) -> None:
        for stream in self._answered:
            self._runner.release(stream)
        self._answered.clear()
