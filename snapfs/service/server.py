"""The server: unix sockets in front of endpoints, carried by ``snapfs.rpc``.

Each listener has a server and threads of its own, so that whoever floods or stalls
one socket leaves the other alone. Stat and Mounts are answered from memory on the
connection's own thread; every other call may wait for a disk and gets another.
"""

from __future__ import annotations

import dataclasses
import logging
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Final

from snapfs.api.methods import (
    DIFF_SERVICE,
    LEASE_HEADER,
    MAX_MESSAGE_BYTES,
    MOUNTS,
    NAMESPACE_HEADER,
    SNAPSHOTS_SERVICE,
    STAT,
    STORE_SERVICE,
)
from snapfs.differ import Differ
from snapfs.errors import UnavailableError
from snapfs.rpc import CallContext, RpcServer
from snapfs.rpc.calls import Handler, StreamHandler
from snapfs.rpc.server import listen
from snapfs.service.admin import store_endpoints
from snapfs.service.diff import diff_endpoints
from snapfs.service.dispatch import Endpoints, StreamCall, UnaryCall
from snapfs.service.health import health_endpoints
from snapfs.service.log import Origin
from snapfs.service.observing import Observe, observed
from snapfs.service.servicer import snapshots_endpoints
from snapfs.service.socket_path import SocketPath
from snapfs.service.tracing import Tracer, traced
from snapfs.snapshotter import Snapshotter, Store

_log: Final = logging.getLogger(__name__)

_TRACE_HEADER: Final = "traceparent"

# These read the index in memory and never wait.
_INLINE: Final = (STAT.path, MOUNTS.path)


@dataclasses.dataclass(frozen=True, slots=True)
class Listener:
    """One socket and what it serves.

    Attributes:
        address: The absolute path of the socket.
        snapshotter: Behind containerd's ten calls.
        admin: Behind our administration service; None: that is not served.
        differ: Behind containerd's diff service; None: that is not served.
        mode: The mode of the socket.
        group: The group that owns the socket; None for the process's own.
        allow_long_path: Whether ``address`` may be longer than the 107 bytes that
            the kernel takes; only our own client connects to such a socket.
        sock: One that listens on ``address`` already, and whose place, mode and
            owner are somebody else's business (systemd's); None to make one.
    """

    address: str
    snapshotter: Snapshotter
    admin: Store | None = None
    differ: Differ | None = None
    mode: int = 0o600
    group: int | None = None
    allow_long_path: bool = False
    sock: socket.socket | None = None


class Server:
    """Serves every listener from ``start`` to ``stop``.

    Signals are the caller's business: on SIGTERM it calls ``stop``, in any thread, once
    ``start`` has returned.

    Args:
        listeners: At least one.
        workers: Threads for the calls of each listener; they start when they are
            first needed.
        observe: Called for each call that is over; None costs nothing.
        tracer: Takes spans of the callers' traces; None costs nothing.
    """

    def __init__(
        self,
        listeners: Sequence[Listener],
        *,
        workers: int = 16,
        observe: Observe | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self._ports = [
            _Port(listener, workers, observe, tracer) for listener in listeners
        ]
        self._stopped = threading.Event()

    def start(self) -> None:
        """Listen on every socket; when this returns, calls are answered.

        On any error no socket is left.

        Raises:
            InvalidArgumentError: An address is not absolute, or too long.
            FailedPreconditionError: Another process listens on an address, or what
                is there is not a socket.
            PermissionDeniedError: A socket's directory cannot be written.
            UnavailableError: The socket could not be bound.
        """
        try:
            for port in self._ports:
                port.start()
        except BaseException:
            self.stop(0)
            raise

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until ``stop`` is through, in whatever thread; return whether it is."""
        return self._stopped.wait(timeout_s)

    def stop(self, grace_s: float = 10.0) -> bool:
        """Refuse new calls, let those that run finish, remove the sockets.

        What runs longer than ``grace_s`` loses its connection; Python cannot end its
        thread. Another call waits for such calls once more.

        Returns:
            Whether every call is over, so that the store can be closed.
        """
        deadline = time.monotonic() + grace_s
        drained = [port.stop(deadline) for port in self._ports]
        self._stopped.set()
        return all(drained)


class _Port:
    """One listener being served."""

    def __init__(
        self,
        listener: Listener,
        workers: int,
        observe: Observe | None,
        tracer: Tracer | None,
    ) -> None:
        self._listener = listener
        self._workers = workers
        self._observe = observe
        self._tracer = tracer
        self._socket: SocketPath | None = None
        self._server: RpcServer | None = None

    def start(self) -> None:
        listener = self._listener
        endpoints = _endpoints(listener)
        if self._observe is not None:
            endpoints = observed(endpoints, self._observe)
        if self._tracer is not None:
            endpoints = traced(endpoints, self._tracer)
        self._server = RpcServer(
            self._bound() if listener.sock is None else listener.sock,
            {path: _unary(call) for path, call in endpoints.unary.items()},
            {path: _stream(call) for path, call in endpoints.streams.items()},
            inline=_INLINE,
            workers=self._workers,
            max_message_bytes=MAX_MESSAGE_BYTES,
        )
        self._server.start()
        if self._socket is not None:
            self._socket.publish()
        _log.info("listening on %s", listener.address)

    def _bound(self) -> socket.socket:
        """Claim the address, and return a socket that listens beside it."""
        listener = self._listener
        self._socket = SocketPath(
            listener.address,
            mode=listener.mode,
            group=listener.group,
            allow_long=listener.allow_long_path,
        )
        try:
            return listen(self._socket.bind_path)
        except OSError as error:
            raise UnavailableError(
                f"cannot listen on {listener.address!r}: {error.strerror}"
            ) from error

    def stop(self, deadline: float) -> bool:
        drained = True
        if self._server is not None:
            drained = self._server.stop(max(0.0, deadline - time.monotonic()))
        if not drained:
            _log.warning(
                "calls on %s still run; they were given up", self._listener.address
            )
        if self._socket is not None:
            self._socket.remove()
        return drained


def _endpoints(listener: Listener) -> Endpoints:
    services = [SNAPSHOTS_SERVICE]
    endpoints = snapshots_endpoints(listener.snapshotter)
    if listener.differ is not None:
        services.append(DIFF_SERVICE)
        endpoints |= diff_endpoints(listener.differ)
    if listener.admin is not None:
        services.append(STORE_SERVICE)
        endpoints |= store_endpoints(listener.admin)
    return endpoints | health_endpoints(services)


def _unary(call: UnaryCall) -> Handler:
    """Fit an endpoint to the transport; its errors are the transport's already."""

    def handle(request: bytes, context: CallContext) -> bytes:
        return call(request, lambda: _origin(context))

    return handle


def _stream(call: StreamCall) -> StreamHandler:
    def handle(request: bytes, context: CallContext) -> Iterator[bytes | None]:
        return call(request, lambda: _origin(context))

    return handle


def _origin(context: CallContext) -> Origin:
    return Origin(
        context.metadata(NAMESPACE_HEADER),
        str(context.peer),
        context.metadata(LEASE_HEADER),
        context.metadata(_TRACE_HEADER),
    )
