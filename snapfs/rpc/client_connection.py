"""A client's connection: calls become frames."""

from __future__ import annotations

import logging
import queue
import socket
import threading
from typing import Final

from snapfs.rpc import frames
from snapfs.rpc.client_stream import ClientStream
from snapfs.rpc.frames import ConnectionFault, ErrorCode, Setting
from snapfs.rpc.messages import prefixed
from snapfs.rpc.request_encoder import RequestEncoder
from snapfs.rpc.response_head import UnprocessedError
from snapfs.rpc.response_reader import ResponseReader
from snapfs.rpc.sending import send_data
from snapfs.rpc.status import DEADLINE_EXCEEDED, UNAVAILABLE, RpcError

_log = logging.getLogger(__name__)

# Long before the numbers of streams run out (RFC 9113, 5.1.1) a new connection is due.
_LAST_ID: Final = 1 << 30


class ClientConnection(ResponseReader):
    """One connection to a server, with a thread that reads from it.

    Args:
        sock: Connected.
        max_message_bytes: The length of a message that is taken.
        send_timeout_s: See :class:`~snapfs.rpc.connection.Connection`.
        encoder: Of this connection alone.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        max_message_bytes: int,
        send_timeout_s: float,
        encoder: RequestEncoder,
    ) -> None:
        super().__init__(sock, send_timeout_s=send_timeout_s, encoder=encoder)
        self._max_message_bytes = max_message_bytes
        self._writer.send(
            frames.PREFACE
            + self._greeting(
                {Setting.ENABLE_PUSH: 0, Setting.MAX_CONCURRENT_STREAMS: 0}
            )
        )
        self._given_up: queue.SimpleQueue[ClientStream | None] = queue.SimpleQueue()
        self._canceller: threading.Thread | None = None
        self._thread = threading.Thread(
            target=self._run, name="snapfs-rpc-client", daemon=True
        )
        self._thread.start()

    @property
    def is_open(self) -> bool:
        """Whether further calls can be made."""
        return not self._closed_by

    def begin(
        self, path: str, request: bytes, deadline: float | None, timeout_s: float | None
    ) -> ClientStream:
        """Send a request, waiting for windows and for the server if it must.

        Raises:
            RpcError: The call cannot be made, or not in time.
        """
        content = prefixed(request)
        with self._table.lock:
            stream, block = self._opened(path, deadline, timeout_s)
            wanted = min(len(content), frames.DEFAULT_FRAME_SIZE)
            sent = self._table.grant(stream, wanted)
            flags = frames.END_STREAM if sent == len(content) else 0
            data = block
            if sent:
                data += frames.frame(frames.DATA, flags, stream.id, content[:sent])
            self._writer.send(data)
        if not flags:
            self._send_rest(stream, content[sent:], deadline, ends=True)
        return stream

    def open(
        self, path: str, deadline: float | None, timeout_s: float | None
    ) -> ClientStream:
        """Begin a call whose requests come one by one, by ``send``.

        Raises:
            RpcError: The call cannot be made, or not in time.
        """
        with self._table.lock:
            stream, block = self._opened(path, deadline, timeout_s)
            self._writer.send(block)
        return stream

    def send(
        self, stream: ClientStream, request: bytes, deadline: float | None
    ) -> None:
        """Send one more request of a call; if that is over, nothing happens.

        Raises:
            RpcError: It could not be sent in time.
        """
        self._send_rest(stream, prefixed(request), deadline, ends=False)

    def end_requests(self, stream: ClientStream) -> None:
        """Say that no request follows."""
        with self._table.lock:
            if not stream.is_over:
                end = frames.frame(frames.DATA, frames.END_STREAM, stream.id, b"")
                self._writer.send(end)

    def cancel(self, stream: ClientStream) -> None:
        """Give up a call, if it is not over."""
        if self._table.end(stream):
            self._writer.send(frames.rst_stream(stream.id, ErrorCode.CANCEL))

    def cancel_soon(self, stream: ClientStream) -> None:
        """Give up a call, from wherever: from a finaliser, too.

        That may run in a thread that is in the middle of anything and holds any lock,
        so that it must not take one; ``SimpleQueue.put`` is made for that. Nothing
        happens unless ``expect_cancels`` was called before.
        """
        self._given_up.put(stream)

    def expect_cancels(self) -> None:
        """Have a thread that serves ``cancel_soon``."""
        with self._table.lock:
            if self._canceller is None and not self._closed_by:
                self._canceller = threading.Thread(
                    target=self._cancel_given_up, name="snapfs-rpc-cancel", daemon=True
                )
                self._canceller.start()

    def take(self, stream: ClientStream, deadline: float | None) -> bytes | None:
        """Wait for the next message of a call; return None after the last one.

        Raises:
            RpcError: The call failed, or ``deadline`` passed.
        """
        message = stream.next_message(deadline)
        if message is not None:
            growth = stream.growth_after(message)
            if growth and not stream.is_over:
                self._writer.send(frames.window_update(stream.id, growth))
        return message

    def close(self, reason: str) -> None:
        """End the connection; calls under way fail with ``reason``."""
        self._refuse_further(reason)
        self._writer.send(frames.goaway(0, ErrorCode.NO_ERROR))
        self._writer.shut_down()
        self._thread.join()
        if self._canceller is not None:
            self._canceller.join()

    def _run(self) -> None:
        reason = "the server ended the connection"
        try:
            self._read_frames()
        except ConnectionFault as fault:
            reason = f"the server broke the protocol: {fault}"
            self._writer.send(frames.goaway(0, fault.code, fault.message))
        except OSError as error:
            reason = f"the connection broke: {error.strerror}"
        except Exception as error:  # noqa: BLE001 - logged; every call learns of it
            _log.exception("the connection failed")
            reason = f"unexpected {type(error).__name__}: {error}"
        finally:
            self._refuse_further(reason)
            for stream in self._table.end_all():
                stream.finish(RpcError(UNAVAILABLE, self._closed_by))
            self._given_up.put(None)
            self._writer.close()

    def _cancel_given_up(self) -> None:
        while (stream := self._given_up.get()) is not None:
            self.cancel(stream)

    def _wait_for_slot(self, deadline: float | None) -> None:
        """Wait until the server takes another stream (RFC 9113, 5.1.2)."""
        while not self._closed_by and len(self._table) >= self._max_streams:
            if not self._table.wait(deadline):
                raise RpcError(DEADLINE_EXCEEDED, "too many calls are under way")
        if self._closed_by:
            raise UnprocessedError(UNAVAILABLE, self._closed_by)
        if self._next_id >= _LAST_ID:
            self._closed_by = "the connection has served its time"

    def _opened(
        self, path: str, deadline: float | None, timeout_s: float | None
    ) -> tuple[ClientStream, bytes]:
        """Return a new stream and the frame that opens it; with the lock held."""
        self._wait_for_slot(deadline)
        stream = ClientStream(self._next_id, self._max_message_bytes)
        self._next_id += 2
        self._table.add(stream)
        block = self._encoder.encode(path, timeout_s)
        flags = frames.END_HEADERS
        return stream, frames.frame(frames.HEADERS, flags, stream.id, block)

    def _send_rest(
        self,
        stream: ClientStream,
        content: bytes,
        deadline: float | None,
        *,
        ends: bool,
    ) -> None:
        """Send what did not fit; an answer that comes first is an answer."""
        try:
            is_sent = send_data(
                self._table,
                self._writer,
                self._gauge,
                stream,
                content,
                deadline=deadline,
                ends=ends,
            )
        except BaseException:
            self.cancel(stream)
            raise
        if is_sent:
            return
        if stream.is_over:
            # Nobody waits for the rest; the server shall not either.
            self._writer.send(frames.rst_stream(stream.id, ErrorCode.CANCEL))
            return
        self.cancel(stream)
        raise RpcError(DEADLINE_EXCEEDED, "the request could not be sent in time")
