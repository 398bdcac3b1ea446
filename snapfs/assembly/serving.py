"""A service: the store that one process owns, behind two sockets."""

from __future__ import annotations

import logging
import os
import signal
import socket
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, Self

from snapfs.assembly.opening import own_store
from snapfs.manager import ContainerdSnapshotter
from snapfs.state import StatePaths

if TYPE_CHECKING:
    from snapfs.assembly.settings import ServeSettings

_log = logging.getLogger(__name__)

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
# systemd waits 90 s by default (TimeoutStopSec); containerd's calls are short.
_GRACE_S: Final = 10.0


def serve(root: str | os.PathLike[str], settings: ServeSettings) -> None:
    """Serve the store in ``root`` until SIGTERM or SIGINT; then shut down cleanly.

    containerd's calls come on ``settings.address`` and see containerd's snapshots
    only; commands come on the socket in the root and see all. Must be called in
    the main thread, since it handles signals. When it returns, calls that ran are
    answered, the sockets are gone and the root is free.

    Raises:
        FailedPreconditionError: Another process owns the root or listens on the
            address.
        SnapfsError: As :func:`snapfs.assembly.open_store` and
            :meth:`snapfs.service.Server.start`.
    """
    with _StopSignals() as signals:
        _serve(root, settings, signals)


def _serve(
    root: str | os.PathLike[str], settings: ServeSettings, signals: _StopSignals
) -> None:
    # Here: they are slow to load, and a command without a service needs neither.
    from snapfs.service.notify import Notifier
    from snapfs.service.server import Listener, Server
    from snapfs.service.socket_path import refuse_address

    notifier = Notifier(settings.notify_socket)
    # First what needs no store: a mistake in the address must not make one.
    if not os.path.exists(StatePaths(os.path.abspath(root)).identity):
        refuse_address(settings.address)
    store = own_store(root, settings.store)
    try:
        status = store.status()
        server = Server(
            [
                Listener(settings.address, ContainerdSnapshotter(store)),
                Listener(
                    os.path.join(status.root, "snapfs.sock"),
                    store,
                    admin=store,
                    allow_long_path=True,
                ),
            ],
            workers=settings.workers,
        )
        try:
            server.start()
            store.cleanup()  # what the last process left in the trash
            notifier.ready(f"{status.snapshots} snapshots in {status.root}")
            _log.info("stopping on %s", signals.wait().name)
            notifier.stopping()
            server.stop(_GRACE_S)
        finally:
            server.stop(0)
    finally:
        store.close()


class _StopSignals:
    """SIGTERM and SIGINT as something that the main thread waits for.

    The kernel gives a signal to any thread. Python runs its handler in the main
    thread, but does not wake that thread from a lock that it waits for; a byte in a
    socket does (``signal.set_wakeup_fd``).
    """

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)  # set_wakeup_fd demands it
        self._previous: dict[int, Any] = {}
        self._previous_fd = -1

    def __enter__(self) -> Self:
        self._previous_fd = signal.set_wakeup_fd(self._writer.fileno())
        self._previous = {
            number: signal.signal(number, _do_nothing) for number in _SIGNALS
        }
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._previous_fd)
        self._reader.close()
        self._writer.close()

    def wait(self) -> signal.Signals:
        """Wait for one of the signals, also if it came before; return it."""
        while True:
            number = signal.Signals(self._reader.recv(1)[0])
            if number in _SIGNALS:
                return number


def _do_nothing(_number: int, _frame: FrameType | None) -> None:
    """Keep the signal from ending the process; its number is in the socket."""
