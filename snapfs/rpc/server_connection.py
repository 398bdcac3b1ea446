"""One client's connection from its preface to its end."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable
from typing import Final

from snapfs.rpc import frames
from snapfs.rpc.calls import Peer
from snapfs.rpc.frames import ConnectionFault, ErrorCode
from snapfs.rpc.request_reader import RequestReader
from snapfs.rpc.server_resources import ServerResources

_log = logging.getLogger(__name__)

# Time for a client to say that it speaks HTTP/2 at all.
GREETING_TIMEOUT_S: Final = 10.0

# Time for the last words to a client that broke a rule.
_GOODBYE_TIMEOUT_S: Final = 1.0


class ServerConnection(RequestReader):
    """Serves one client: one thread at a time reads, the one that has the turn.

    Args:
        sock: Connected and blocking; closed at the end.
        peer: Who is there.
        resources: The server's.
        on_end: Called when the connection is over.
    """

    def __init__(
        self,
        sock: socket.socket,
        peer: Peer,
        resources: ServerResources,
        on_end: Callable[[ServerConnection], None],
    ) -> None:
        super().__init__(sock, peer, resources)
        self._on_end = on_end

    def run(self) -> None:
        """Serve from the preface on; nothing is raised.

        Returns at the end of the connection, or when another thread reads on.
        """
        self._serve(self._greet)

    def read_on(self) -> None:
        """Serve on with the turn that was taken; as ``run`` otherwise."""
        self._serve(self._read_frames)

    def _greet(self) -> bool:
        self._sock.settimeout(GREETING_TIMEOUT_S)
        return self._read_frames(self._read_preface())

    def _serve(self, read: Callable[[], bool]) -> None:
        is_over = True
        try:
            is_over = read()
        except ConnectionFault as fault:
            _log.warning("the connection of %s was ended: %s", self._peer, fault)
            self._say_goodbye(fault.code, fault.message)
        except TimeoutError:
            _log.warning("%s connected and said nothing", self._peer)
        except OSError as error:
            _log.debug("the connection of %s broke: %s", self._peer, error)
        except Exception:  # noqa: BLE001 - logged; costs this client only
            _log.exception("the connection of %s failed", self._peer)
            self._say_goodbye(ErrorCode.INTERNAL_ERROR, "")
        if is_over:
            self._end()

    def close(self) -> None:
        """Close a connection that is not run."""
        self._turn.end()
        self._writer.close()

    def begin_drain(self) -> None:
        """Refuse new calls; those at work go on. From any thread."""
        with self._table.lock:
            self._is_draining = True
            last = self._highest_id
        self._writer.send(frames.goaway(last, ErrorCode.NO_ERROR, "shutting down"))

    def finish_drain(self, deadline: float) -> bool:
        """Wait until calls are over and sent, then end the connection.

        From any thread.

        Returns:
            Whether they were over by ``deadline``, of the monotonic clock.
        """
        is_idle = self._runner.wait_for_none(deadline)
        self._writer.flush(max(0.0, deadline - time.monotonic()))
        self._writer.shut_down()
        return is_idle

    def _read_preface(self) -> bytes:
        """Read the client's preface; return what came behind it."""
        data = b""
        while len(data) < len(frames.PREFACE):
            chunk = self._sock.recv(4096)
            data += chunk
            if not chunk or not frames.PREFACE.startswith(data[: len(frames.PREFACE)]):
                raise ConnectionFault(
                    ErrorCode.PROTOCOL_ERROR, f"{data[:24]!r} is not HTTP/2"
                )
        return data[len(frames.PREFACE) :]

    def _end(self) -> None:
        for stream in self._table.end_all():
            if not stream.is_running:
                self._runner.release(stream)
        if self._deferred is not None:
            self._runner.answer_and_release(*self._take_deferred())  # nobody waits
        self._release_answered()
        self.close()
        self._on_end(self)

    def _say_goodbye(self, code: ErrorCode, message: str) -> None:
        self._send_batch()  # answers to what was in order before the fault
        self._writer.send(frames.goaway(self._highest_id, code, message))
        self._writer.flush(_GOODBYE_TIMEOUT_S)
