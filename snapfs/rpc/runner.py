"""Running calls and sending what comes of them, on whatever thread."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Iterator
from typing import TypeAlias

from snapfs.rpc import responses
from snapfs.rpc.flood import FloodGauge
from snapfs.rpc.frames import DEFAULT_FRAME_SIZE
from snapfs.rpc.messages import PREFIX_SIZE, prefixed
from snapfs.rpc.sending import send_data
from snapfs.rpc.server_stream import Budget, ServerStream
from snapfs.rpc.status import (
    DEADLINE_EXCEEDED,
    RESOURCE_EXHAUSTED,
    UNKNOWN,
    RpcError,
)
from snapfs.rpc.streams import StreamTable
from snapfs.rpc.threads import ThreadPool
from snapfs.rpc.writer import Writer

_log = logging.getLogger(__name__)

_Send: TypeAlias = Callable[[bytes], object]


class Runner:
    """Answers the calls of one connection.

    A call is counted from its first frame until its handler has ended and the
    response was handed to the socket, even if its caller left long before: what a
    client may have at work is bounded by what is at work, not by what it waits for
    (CVE-2023-44487).
    """

    def __init__(
        self,
        table: StreamTable[ServerStream],
        writer: Writer,
        gauge: FloodGauge,
        streamers: ThreadPool,
        budget: Budget,
        max_message_bytes: int,
    ) -> None:
        self._table = table
        self._writer = writer
        self._gauge = gauge
        self._streamers = streamers
        self._budget = budget
        self._max_message_bytes = max_message_bytes
        self._count = 0

    @property
    def count(self) -> int:
        """How many calls are at work."""
        return self._count

    def admit(self, stream: ServerStream) -> None:
        """Count a new call; with the table's lock held."""
        self._table.add(stream)
        self._count += 1

    def release(self, stream: ServerStream) -> None:
        """Take note that nobody works on a call any longer."""
        if stream.kept_bytes:
            self._budget.give(stream.kept_bytes)
            stream.kept_bytes = 0
        with self._table.lock:
            self._count -= 1
            if not self._count:
                self._table.changed.notify_all()

    def wait_for_none(self, deadline: float) -> bool:
        """Wait until no call is at work; return whether none is."""
        with self._table.changed:
            return self._table.changed.wait_for(
                lambda: not self._count, max(0.0, deadline - time.monotonic())
            )

    def answer(self, stream: ServerStream, request: bytes, send: _Send) -> bool:
        """Answer a call that has one response.

        Returns:
            Whether that is done. If not, another thread sends the response and
            releases the call; else the caller does.
        """
        route, context = stream.head.route, stream.head.context
        assert route is not None
        assert route.unary is not None
        assert context is not None
        if self._is_in_vain(stream, send):
            return True
        try:
            response = route.unary(request, context)
        except Exception as error:  # noqa: BLE001 - logged and told to the caller
            self.fail(stream, _failure_of(error, context.path), send)
            return True
        size = len(response) + PREFIX_SIZE
        if size <= DEFAULT_FRAME_SIZE:
            data = responses.unary(stream.id, response)
            with self._table.lock:
                is_sent = self._table.end_after(stream, size)
                if is_sent:
                    send(data)
            if is_sent:
                self._gauge.credit()
                return True
        return self._answer_at_length(stream, response, send)

    def answer_and_release(
        self,
        stream: ServerStream,
        request: bytes,
        before_send: Callable[[], object] | None = None,
    ) -> None:
        """Answer a call that has one response, on a thread that may take its time.

        Args:
            stream: The call.
            request: Its message.
            before_send: Called before the response leaves from this thread, perhaps
                with the table's lock held.
        """
        send: _Send = self._writer.send
        if before_send is not None:
            send = functools.partial(self._send_after, before_send)
        if self.answer(stream, request, send):
            self.release(stream)

    def stream(self, stream: ServerStream, request: bytes) -> None:
        """Answer a call that has a stream of responses; for a thread of its own."""
        route, context = stream.head.route, stream.head.context
        assert route is not None
        assert route.stream is not None
        assert context is not None
        messages: Iterator[bytes | None] = iter(())
        begun = False
        try:
            if self._is_in_vain(stream, self._writer.send):
                return
            messages = route.stream(request, context)
            for message in messages:
                if message is None:
                    if self._is_in_vain(stream, self._writer.send):
                        return
                    continue
                if not self._send_message(stream, message, begun=begun):
                    break
                begun = True
            else:
                self._finish(stream, begun=begun)
                return
            self._give_up(stream, begun=begun)
        except Exception as error:  # noqa: BLE001 - logged and told to the caller
            failure = _failure_of(error, context.path)
            self.fail(stream, failure, self._writer.send, begun=begun)
        finally:
            _close(messages, context.path)
            self.release(stream)

    def fail(
        self, stream: ServerStream, error: RpcError, send: _Send, *, begun: bool = False
    ) -> None:
        """Tell the caller that its call failed, if it still waits."""
        if self._table.end(stream):
            send(responses.failure(stream.id, error.code, error.message, begun=begun))
            self._gauge.credit()

    def _send_after(self, before_send: Callable[[], object], data: bytes) -> None:
        before_send()
        self._writer.send(data)

    def _is_in_vain(self, stream: ServerStream, send: _Send) -> bool:
        """Return whether nobody waits for a call any longer, that was queued."""
        if stream.is_over:
            return True
        if stream.deadline is None or time.monotonic() < stream.deadline:
            return False
        self._expire(stream, send)
        return True

    def _expire(
        self, stream: ServerStream, send: _Send, *, begun: bool = False
    ) -> None:
        error = RpcError(DEADLINE_EXCEEDED, "the caller's time was over first")
        self.fail(stream, error, send, begun=begun)

    def _answer_at_length(
        self, stream: ServerStream, response: bytes, send: _Send
    ) -> bool:
        """Send a response that must wait for windows, on a thread that may wait."""
        if stream.is_over:
            return True
        if len(response) > self._max_message_bytes:
            text = (
                f"the response of {len(response)} bytes is longer than"
                f" {self._max_message_bytes}"
            )
            self.fail(stream, RpcError(RESOURCE_EXHAUSTED, text), send)
            return True
        job = functools.partial(self._send_only, stream, response)
        if self._streamers.submit_now(job):
            return False
        text = "too many responses wait to be read"
        self.fail(stream, RpcError(RESOURCE_EXHAUSTED, text), send)
        return True

    def _send_only(self, stream: ServerStream, response: bytes) -> None:
        try:
            if self._send_message(stream, response, begun=False):
                self._finish(stream, begun=True)
            else:
                self._give_up(stream, begun=True)
        finally:
            self.release(stream)

    def _send_message(
        self, stream: ServerStream, message: bytes, *, begun: bool
    ) -> bool:
        """Send one of the responses; return False if that cannot be done."""
        if stream.deadline is not None and time.monotonic() >= stream.deadline:
            return False
        self._gauge.credit()
        return send_data(
            self._table,
            self._writer,
            self._gauge,
            stream,
            prefixed(message),
            deadline=stream.deadline,
            lead=b"" if begun else responses.headers(stream.id),
        )

    def _finish(self, stream: ServerStream, *, begun: bool) -> None:
        if self._table.end(stream):
            lead = b"" if begun else responses.headers(stream.id)
            self._writer.send(lead + responses.ok_trailers(stream.id))

    def _give_up(self, stream: ServerStream, *, begun: bool) -> None:
        """End a stream that was cut short: nothing if its caller did that."""
        if not stream.is_over:
            self._expire(stream, self._writer.send, begun=begun)


def _failure_of(error: Exception, path: str) -> RpcError:
    if isinstance(error, RpcError):
        return error
    _log.error("the handler of %s failed", path, exc_info=error)
    return RpcError(UNKNOWN, f"unexpected {type(error).__name__}: {error}")


def _close(messages: Iterator[bytes | None], path: str) -> None:
    """Close a generator, so that it ends its work now; other iterators need not."""
    close = getattr(messages, "close", None)
    if close is None:
        return
    try:
        close()
    except Exception:  # noqa: BLE001 - logged; the call is over anyway
        _log.exception("the handler of %s failed while it was closed", path)
