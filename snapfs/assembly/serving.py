"""A service: the store that one process owns, behind two sockets."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from types import FrameType
from typing import TYPE_CHECKING, Final

from snapfs.assembly.opening import own_store
from snapfs.manager.containerd_view import ContainerdSnapshotter
from snapfs.state import StatePaths
from snapfs.waking import Waker

if TYPE_CHECKING:
    from snapfs.assembly.settings import ServeSettings
    from snapfs.service.notify import Notifier
    from snapfs.service.observing import Observe
    from snapfs.service.tracing import Tracer
    from snapfs.snapshotter import StoreAdmin

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
    from snapfs.assembly.differ import StoreDiffer
    from snapfs.assembly.listening import containerd_listener, refuse_unfit
    from snapfs.service.notify import Notifier
    from snapfs.service.server import Listener, Server

    notifier = Notifier(settings.notify_socket)
    # First what needs no store: a mistake in the settings must not make one.
    if not os.path.exists(StatePaths(os.path.abspath(root)).identity):
        refuse_unfit(settings)
    with contextlib.ExitStack() as cleanup:
        tracer = None
        if settings.tracing_endpoint:
            tracer = cleanup.enter_context(_tracer(settings.tracing_endpoint))
        store = own_store(root, settings.store)
        cleanup.callback(store.close)
        status = store.status()
        differ = StoreDiffer(store, settings)
        cleanup.callback(differ.close)
        snapshotter = ContainerdSnapshotter(
            store, differ.settler, shares_namespaces=settings.shares_namespaces
        )
        observe = None
        if settings.metrics_address:
            observe = _offer_metrics(store, settings.metrics_address, cleanup)
        server = Server(
            [
                containerd_listener(settings, snapshotter, differ),
                Listener(
                    os.path.join(status.root, "snapfs.sock"),
                    store,
                    admin=store,
                    allow_long_path=True,
                ),
            ],
            workers=settings.workers,
            observe=observe,
            tracer=tracer,
        )
        cleanup.callback(server.stop, 0)
        server.start()
        store.continue_recovery()
        store.cleanup()  # what the last process left in the trash
        _start_watchdog(settings, notifier, cleanup)
        notifier.ready(f"{status.snapshots} snapshots in {status.root}")
        _log.info("stopping on %s", signals.next().name)
        notifier.stopping()
        server.stop(_GRACE_S)


def _tracer(endpoint: str) -> Tracer:
    import snapfs
    from snapfs.service.tracing import Tracer

    return Tracer(endpoint, snapfs.__version__)


def _offer_metrics(
    store: StoreAdmin, address: str, cleanup: contextlib.ExitStack
) -> Observe:
    import snapfs
    from snapfs.assembly.fuse_mounts import live_fuse_mounts
    from snapfs.service.metrics import Metrics, MetricsServer

    metrics = Metrics(store, live_fuse_mounts, snapfs.__version__)
    server = MetricsServer(address, metrics)
    cleanup.callback(server.close)
    _log.info("metrics on http://%s/metrics", address)
    return metrics.observe


def _start_watchdog(
    settings: ServeSettings, notifier: Notifier, cleanup: contextlib.ExitStack
) -> None:
    if not settings.watchdog_s:
        return
    from snapfs.api.health_pb2 import HealthCheckRequest
    from snapfs.api.methods import HEALTH_CHECK
    from snapfs.remote.channel import Channel
    from snapfs.service.watchdog import Watchdog

    interval_s = settings.watchdog_s / 2
    channel = Channel(settings.address, timeout_s=interval_s)
    cleanup.callback(channel.close)
    watchdog = Watchdog(
        interval_s,
        lambda: channel.call(HEALTH_CHECK, HealthCheckRequest()),
        notifier.alive,
    )
    cleanup.callback(watchdog.stop)
    watchdog.start()


class _StopSignals(Waker):
    """SIGTERM and SIGINT as something that the main thread waits for."""

    def __init__(self) -> None:
        super().__init__()
        self._handlers = {
            number: signal.signal(number, _do_nothing) for number in _SIGNALS
        }

    def close(self) -> None:
        """Let the signals do what they did before."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        super().close()

    def next(self) -> signal.Signals:
        """Wait for one of the signals, also if it came before; return it."""
        while True:
            for number in self.wait():
                if number in _SIGNALS:
                    return signal.Signals(number)


def _do_nothing(_number: int, _frame: FrameType | None) -> None:
    """Keep the signal from ending the process; its number is in the pipe."""
