"""A gRPC server on a unix socket."""

from __future__ import annotations

import logging
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Collection, Mapping
from typing import Final

from snapfs.rpc.calls import Handler, Peer, Route, StreamHandler
from snapfs.rpc.messages import MAX_MESSAGE_BYTES
from snapfs.rpc.server_connection import ServerConnection
from snapfs.rpc.server_resources import ServerResources
from snapfs.rpc.server_stream import Budget
from snapfs.rpc.threads import ThreadPool
from snapfs.rpc.turns import InputWatch

_log = logging.getLogger(__name__)

# containerd opens one connection, a command one each.
MAX_CONNECTIONS: Final = 256

# Streams that may be sent at a time; each has a thread as long as its reader likes.
MAX_STREAMS: Final = 128

# How long a peer may read nothing of what we have to send.
_SEND_TIMEOUT_S: Final = 30.0

# For requests that do not fit in a frame, of all clients together.
_BUDGET_MESSAGES: Final = 16

# Before the next try, when there was no file descriptor left for a connection.
_ACCEPT_PAUSE_S: Final = 0.5

# For threads that have nothing left to do to come to their end.
_SETTLE_S: Final = 0.5

# struct ucred, unix(7).
_UCRED: Final = struct.Struct("=iII")


class RpcServer:
    """Serves calls from ``start`` to ``stop``.

    Args:
        sock: A unix socket that listens; the server closes it.
        unary: The calls with one response, by path.
        streams: The calls with a stream of responses, by path.
        inline: Paths of ``unary`` that are answered on the connection's own thread:
            the fastest way, for calls that never wait for anything.
        workers: Threads for all other unary calls.
        max_message_bytes: The length of a message in either direction.
        max_connections: Further clients are turned away.
        send_timeout_s: How long a client may read nothing while there is something
            for it.
    """

    def __init__(
        self,
        sock: socket.socket,
        unary: Mapping[str, Handler],
        streams: Mapping[str, StreamHandler],
        *,
        inline: Collection[str] = (),
        workers: int = 16,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        max_connections: int = MAX_CONNECTIONS,
        send_timeout_s: float = _SEND_TIMEOUT_S,
    ) -> None:
        self._sock = sock
        routes = {
            path: Route(unary=handler, is_inline=path in inline)
            for path, handler in unary.items()
        }
        routes |= {path: Route(stream=handler) for path, handler in streams.items()}
        # One for each connection and each call that a reader runs, the watcher, and
        # those that have just finished a call.
        readers = ThreadPool("snapfs-rpc", max_connections + 2 * workers + 1)
        self._resources = ServerResources(
            routes=routes,
            readers=readers,
            watch=InputWatch(readers),
            callers=ThreadPool("snapfs-call", workers),
            streamers=ThreadPool("snapfs-stream", MAX_STREAMS),
            budget=Budget(_BUDGET_MESSAGES * max_message_bytes),
            max_message_bytes=max_message_bytes,
            send_timeout_s=send_timeout_s,
        )
        self._max_connections = max_connections
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._connections: set[ServerConnection] = set()
        self._acceptor = threading.Thread(
            target=self._accept, name="snapfs-accept", daemon=True
        )
        # Wakes the acceptor. Shutting the socket down would, too, but for everybody:
        # a socket of systemd's must take connections after us.
        self._wake = os.eventfd(0, os.EFD_CLOEXEC)
        self._is_stopping = threading.Event()

    def start(self) -> None:
        """Begin to accept connections.

        Raises:
            RuntimeError: No thread can be started.
        """
        if not self._resources.watch.start():
            raise RuntimeError("no thread can be started")
        self._acceptor.start()

    def stop(self, grace_s: float = 10.0) -> bool:
        """Refuse new calls, let those at work finish, end all connections.

        Calls that run longer than ``grace_s`` lose their connection; Python cannot
        end their threads. A second call waits likewise for what is left.

        Returns:
            Whether every call is over, abandoned ones included.
        """
        deadline = time.monotonic() + grace_s
        self._stop_accepting()
        with self._lock:
            connections = set(self._connections)
        for connection in connections:
            connection.begin_drain()
        for connection in connections:
            connection.finish_drain(deadline)
        # What was queued for a connection that is gone is skipped, which takes no
        # time; nor does it take a reader any to see that its connection is.
        deadline = max(deadline, time.monotonic() + _SETTLE_S)
        with self._changed:
            self._changed.wait_for(
                lambda: not self._connections, max(0.0, deadline - time.monotonic())
            )
        resources = self._resources
        resources.watch.stop()
        is_over = True
        for pool in (resources.callers, resources.streamers, resources.readers):
            is_over &= pool.stop(deadline)
        if is_over:
            resources.watch.close()
        return is_over

    def _stop_accepting(self) -> None:
        self._is_stopping.set()
        if self._wake < 0:
            return
        os.eventfd_write(self._wake, 1)
        if self._acceptor.ident is not None:
            self._acceptor.join()
        os.close(self._wake)
        self._wake = -1
        self._sock.close()

    def _accept(self) -> None:
        # Another process may share the socket, and take what poll saw.
        self._sock.setblocking(False)
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while True:
            poll.poll()
            if self._is_stopping.is_set():
                return
            try:
                sock = self._sock.accept()[0]
                sock.setblocking(True)
                self._welcome(sock)
            except BlockingIOError:
                continue
            except OSError as error:
                _log.warning("no connection can be accepted: %s", error)
                self._is_stopping.wait(_ACCEPT_PAUSE_S)

    def _welcome(self, sock: socket.socket) -> None:
        """Give a new client a reader, or turn it away.

        Raises:
            OSError: The socket cannot be served.
        """
        peer = _peer_of(sock)
        with self._lock:
            is_full = len(self._connections) >= self._max_connections
        if is_full:
            _log.warning(
                "%s was turned away: there are %d connections already",
                peer,
                self._max_connections,
            )
            sock.close()
            return
        connection = ServerConnection(sock, peer, self._resources, self._forget)
        with self._lock:
            self._connections.add(connection)
        if not self._resources.readers.submit_now(connection.run):
            _log.warning("%s was turned away: no thread can be had", peer)
            self._forget(connection)
            connection.close()

    def _forget(self, connection: ServerConnection) -> None:
        with self._changed:
            self._connections.discard(connection)
            self._changed.notify_all()


def listen(path: str, *, backlog: int = 128) -> socket.socket:
    """Return a unix socket that listens at ``path``, which must be free.

    Raises:
        OSError: It cannot be bound.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(path)
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock


def _peer_of(sock: socket.socket) -> Peer:
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    return Peer(*_UCRED.unpack(raw))
