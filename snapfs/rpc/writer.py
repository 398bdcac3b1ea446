"""Writing to a socket from many threads without ever waiting for its reader.

Whoever answers a call must not be held up by the peer: a thread of the pool serves
other connections, a client's reader must go on reading. What the kernel does not take
at once is left to a thread that exists only until the peer has caught up.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import Final

# What may wait for a slow peer before those who can wait do (see ``wait_for_room``).
_ROOM_BYTES: Final = 256 << 10

# No SIGPIPE either, if the program has asked for that signal's default.
_AT_ONCE: Final = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL

_TIMEVAL: Final = struct.Struct("@ll")


class Writer:
    """The sending side of one socket, which must be blocking.

    A write error is not raised: it ends the connection, whose reader then sees the
    end of its input.

    Args:
        send_timeout_s: How long the peer may take nothing before it is given up.
    """

    def __init__(self, sock: socket.socket, send_timeout_s: float) -> None:
        self._sock = sock
        set_send_timeout(sock, send_timeout_s)
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._late: list[bytes | memoryview] = []
        self._late_bytes = 0
        self._flusher: threading.Thread | None = None
        self._is_broken = False

    def send(self, data: bytes) -> None:
        """Send ``data`` after all that was sent before; never wait for the peer."""
        with self._lock:
            if self._is_broken:
                return
            rest: bytes | memoryview = data
            if self._flusher is None:
                try:
                    sent = self._sock.send(data, _AT_ONCE)
                except BlockingIOError:
                    sent = 0
                except OSError:
                    self._break()
                    return
                if sent == len(data):
                    return
                rest = memoryview(data)[sent:]
            self._late.append(rest)
            self._late_bytes += len(rest)
            if self._flusher is None:
                self._start_flusher()

    def wait_for_room(self) -> None:
        """Wait while much is left to send to a slow peer, or until it is given up.

        For those that make more to send: without it, a peer that writes but does not
        read would fill our memory.
        """
        if self._late_bytes <= _ROOM_BYTES:
            return
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_broken or self._late_bytes <= _ROOM_BYTES
            )

    def flush(self, timeout_s: float) -> bool:
        """Wait until all is sent; return whether it was."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_broken or self._flusher is None, timeout_s
            )
            return not self._is_broken and self._flusher is None

    def shut_down(self) -> None:
        """Break the connection, from any thread; its reader sees the end."""
        with self._lock:
            self._break()

    def close(self) -> None:
        """Close the socket; by its reader, when that is done with it.

        The flusher is waited for: a descriptor that is closed while another thread
        uses it may by then be another file.
        """
        with self._lock:
            self._break()
            flusher = self._flusher
        if flusher is not None:
            flusher.join()
        self._sock.close()

    def _break(self) -> None:
        if not self._is_broken:
            self._is_broken = True
            with contextlib.suppress(OSError):  # ENOTCONN: the peer was faster
                self._sock.shutdown(socket.SHUT_RDWR)
        self._late.clear()
        self._late_bytes = 0
        self._changed.notify_all()

    def _start_flusher(self) -> None:
        flusher = threading.Thread(
            target=self._flush_late, name="snapfs-rpc-flush", daemon=True
        )
        self._flusher = flusher
        try:
            flusher.start()
        except RuntimeError:  # no thread can be started; the peer cannot be waited for
            self._flusher = None
            self._break()

    def _flush_late(self) -> None:
        while True:
            with self._lock:
                if not self._late:
                    self._flusher = None
                    self._changed.notify_all()
                    return
                chunk = b"".join(self._late)
                self._late.clear()
            try:
                self._sock.sendall(chunk, socket.MSG_NOSIGNAL)
            except OSError:  # BlockingIOError too: the time is over
                with self._lock:
                    self._break()
                    self._flusher = None
                return
            with self._lock:
                self._late_bytes = sum(map(len, self._late))
                self._changed.notify_all()


def set_send_timeout(sock: socket.socket, timeout_s: float) -> None:
    """Bound how long a blocking socket waits in send(2) and connect(2).

    With SO_SNDTIMEO (socket(7)): after ``settimeout`` Python would poll before each
    call.
    """
    seconds = int(timeout_s)
    micros = int((timeout_s - seconds) * 1e6)
    sock.setsockopt(
        socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL.pack(seconds, micros)
    )
