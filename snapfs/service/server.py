"""The server: unix sockets in front of endpoints, carried by grpcio.

Each listener has a server and threads of its own, so that whoever floods or stalls
one socket leaves the other alone. Streams run on further threads: a reader that
stops reading holds its thread until it goes on or leaves, and must not keep Stat from
being answered meanwhile (containerd calls Stat while it reads a List).
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NoReturn

import grpc

from snapfs.api.methods import MAX_MESSAGE_BYTES, NAMESPACE_HEADER
from snapfs.errors import UnavailableError
from snapfs.service.admin import store_endpoints
from snapfs.service.dispatch import Endpoints, StreamCall, UnaryCall
from snapfs.service.servicer import snapshots_endpoints
from snapfs.service.socket_path import SocketPath
from snapfs.service.status import StatusError
from snapfs.snapshotter import Snapshotter, StoreAdmin

_log: Final = logging.getLogger(__name__)

_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # A second server must fail to bind, not share the calls.
    ("grpc.so_reuseport", 0),
)

# Grpcio's codes by number: its enum's values are pairs of number and word.
_GRPC_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}


@dataclasses.dataclass(frozen=True, slots=True)
class Listener:
    """One socket and what it serves.

    Attributes:
        address: The absolute path of the socket.
        snapshotter: Behind containerd's ten calls.
        admin: Behind our administration service; None: that is not served.
        mode: The mode of the socket.
        allow_long_path: Whether ``address`` may be longer than the 107 bytes that
            the kernel takes; only our own client connects to such a socket.
    """

    address: str
    snapshotter: Snapshotter
    admin: StoreAdmin | None = None
    mode: int = 0o600
    allow_long_path: bool = False


class Server:
    """Serves every listener from ``start`` to ``stop``.

    Signals are the caller's business: on SIGTERM it calls ``stop``, in any thread, once
    ``start`` has returned.

    Args:
        listeners: At least one.
        workers: Threads for calls, and as many for streams, for each listener. They
            start when they are first needed.
    """

    def __init__(self, listeners: Sequence[Listener], *, workers: int = 16) -> None:
        self._ports = [_Port(listener, workers) for listener in listeners]
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

        What runs longer than ``grace_s`` is cancelled as its client sees it. Python
        cannot end its thread, and the interpreter waits for it when it ends. Another
        call waits for such calls once more.

        Returns:
            Whether every call is over, so that the store can be closed.
        """
        deadline = time.monotonic() + grace_s
        for port in self._ports:
            port.begin_stop(grace_s)
        drained = [port.finish_stop(deadline) for port in self._ports]
        self._stopped.set()
        return all(drained)


class _Port:
    """One listener being served."""

    def __init__(self, listener: Listener, workers: int) -> None:
        self._listener = listener
        self._workers = workers
        self._running = _Running()
        self._socket: SocketPath | None = None
        self._server: grpc.Server | None = None
        self._pools: tuple[ThreadPoolExecutor, ...] = ()
        self._ended: threading.Event | None = None

    def start(self) -> None:
        listener = self._listener
        endpoints = snapshots_endpoints(listener.snapshotter)
        if listener.admin is not None:
            endpoints |= store_endpoints(listener.admin)
        self._socket = SocketPath(
            listener.address, mode=listener.mode, allow_long=listener.allow_long_path
        )
        calls = ThreadPoolExecutor(self._workers, thread_name_prefix="snapfs-call")
        streams = ThreadPoolExecutor(self._workers, thread_name_prefix="snapfs-stream")
        self._pools = (calls, streams)
        self._server = grpc.server(calls, options=_OPTIONS)
        _register(self._server, endpoints, self._running, streams)
        try:
            self._server.add_insecure_port(f"unix:{self._socket.bind_path}")
        except RuntimeError as error:
            raise UnavailableError(
                f"cannot listen on {listener.address!r}: {error}"
            ) from error
        self._server.start()
        self._socket.publish()
        _log.info("listening on %s", listener.address)

    def begin_stop(self, grace_s: float) -> None:
        if self._server is not None and self._ended is None:
            self._ended = self._server.stop(grace_s)

    def finish_stop(self, deadline: float) -> bool:
        if self._ended is not None:
            self._ended.wait()
        drained = self._running.wait_for_none(deadline)
        if not drained:
            _log.warning(
                "calls on %s still run; they were given up", self._listener.address
            )
        for pool in self._pools:
            pool.shutdown(wait=drained, cancel_futures=True)
        if self._socket is not None:
            self._socket.remove()
        return drained


class _Running:
    """How many calls are being answered."""

    def __init__(self) -> None:
        self._count = 0
        self._changed = threading.Condition()

    def __enter__(self) -> None:
        with self._changed:
            self._count += 1

    def __exit__(self, *error: object) -> None:
        with self._changed:
            self._count -= 1
            if not self._count:
                self._changed.notify_all()

    def wait_for_none(self, deadline: float) -> bool:
        """Wait until no call runs, until ``deadline``; return whether none does."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._count == 0, max(0.0, deadline - time.monotonic())
            )


class _UnaryBehaviour:
    """What grpcio calls for a call with one response."""

    def __init__(self, call: UnaryCall, running: _Running) -> None:
        self._call = call
        self._running = running

    def __call__(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        with self._running:
            try:
                return self._call(request, lambda: _namespace(context))
            except StatusError as error:
                _abort(context, error)


class _StreamBehaviour:
    """What grpcio calls for a call with a stream of responses.

    Attributes:
        experimental_thread_pool: Where grpcio runs it; its only way to say so.
    """

    def __init__(
        self, call: StreamCall, running: _Running, pool: ThreadPoolExecutor
    ) -> None:
        self._call = call
        self._running = running
        self.experimental_thread_pool = pool

    def __call__(
        self, request: bytes, context: grpc.ServicerContext
    ) -> Iterator[bytes]:
        with self._running:
            try:
                yield from self._call(request, lambda: _namespace(context))
            except StatusError as error:
                _abort(context, error)


def _register(
    server: grpc.Server,
    endpoints: Endpoints,
    running: _Running,
    stream_pool: ThreadPoolExecutor,
) -> None:
    """Offer the endpoints. No serialisers: they take and return bytes themselves."""
    services: dict[str, dict[str, grpc.RpcMethodHandler]] = {}
    for path, call in endpoints.unary.items():
        _, service, name = path.split("/")
        services.setdefault(service, {})[name] = grpc.unary_unary_rpc_method_handler(
            _UnaryBehaviour(call, running)
        )
    for path, stream in endpoints.streams.items():
        _, service, name = path.split("/")
        services.setdefault(service, {})[name] = grpc.unary_stream_rpc_method_handler(
            _StreamBehaviour(stream, running, stream_pool)
        )
    # Registered, not generic: grpcio then finds the handler without a search, and
    # keeps one call of each method requested at any time.
    for service, handlers in services.items():
        server.add_registered_method_handlers(service, handlers)


def _namespace(context: grpc.ServicerContext) -> str:
    """Return containerd's name space of the call; collections send none."""
    for name, value in context.invocation_metadata():
        if name == NAMESPACE_HEADER:
            return str(value)
    return ""


def _abort(context: grpc.ServicerContext, error: StatusError) -> NoReturn:
    context.abort(_GRPC_CODES[error.code], error.message)
    raise AssertionError("abort always raises")
