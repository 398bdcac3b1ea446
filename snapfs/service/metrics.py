"""Numbers for Prometheus: the calls of a service, its store, its disk, its FUSE mounts.

Calls are counted as they end; everything else is looked at when somebody scrapes, so
that a service which nobody asks does nothing more than count.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from prometheus_client import CollectorRegistry, Histogram, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from snapfs.errors import InvalidArgumentError, UnavailableError

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from snapfs.api.codes import Code
    from snapfs.snapshotter import StoreAdmin

# Stat and Mounts take tens of microseconds, a Commit that syncs up to seconds.
_BUCKETS_S: Final = (
    *(0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025),
    *(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
)
_HIGHEST_PORT: Final = 65_535
_PORT_DIGITS: Final = 5


class FuseMount(NamedTuple):
    """What the server of one FUSE mount has done.

    Attributes:
        target: Where it is mounted.
        statistics: As ``snapfs.fuse.control.read_statistics`` tells them.
    """

    target: str
    statistics: Mapping[str, object]


FuseMounts = Callable[[], Iterable[FuseMount]]


class Metrics:
    """The numbers of one service.

    Args:
        store: Asked for its status at each scrape.
        fuse_mounts: Returns the mounts of this host that our FUSE servers serve.
        version: Of snapfs.
    """

    def __init__(
        self, store: StoreAdmin, fuse_mounts: FuseMounts, version: str
    ) -> None:
        self.registry = CollectorRegistry()
        self._durations = Histogram(
            "snapfs_call_duration_seconds",
            "Time that calls took in the service, by method and status.",
            ("service", "method", "code"),
            buckets=_BUCKETS_S,
            registry=self.registry,
        )
        # labels() takes longer than Stat itself; there are few pairs.
        self._observers: dict[tuple[str, Code], Callable[[float], None]] = {}
        self.registry.register(_StoreNumbers(store, version))
        self.registry.register(_FuseNumbers(fuse_mounts))
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    def observe(self, path: str, code: Code, duration_ns: int) -> None:
        """Count one call of ``path`` (``/service/method``) that is over."""
        observe = self._observers.get((path, code))
        if observe is None:
            _, service, method = path.split("/")
            found = self._durations.labels(service, method, code.name)
            observe = self._observers[path, code] = found.observe
        observe(duration_ns / 1e9)


class MetricsServer:
    """Answers scrapes over HTTP (``GET /metrics``) in threads of its own.

    Args:
        address: ``HOST:PORT``, an IPv6 address in brackets.
        metrics: The numbers.

    Raises:
        InvalidArgumentError: The address is none.
        UnavailableError: It cannot be listened on.
    """

    def __init__(self, address: str, metrics: Metrics) -> None:
        host, port = parse_address(address)
        try:
            self._server, self._thread = start_http_server(
                port, host, registry=metrics.registry
            )
        except OSError as error:
            raise UnavailableError(
                f"metrics cannot be offered on {address!r}: {error.strerror or error};"
                " choose another address"
            ) from error

    @property
    def port(self) -> int:
        """The port that is listened on; the kernel's choice where 0 was asked for."""
        return self._server.server_port

    def close(self) -> None:
        """Listen no more; what is being answered is answered."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def parse_address(address: str) -> tuple[str, int]:
    """Return host and port of ``HOST:PORT``.

    Raises:
        InvalidArgumentError: It is none.
    """
    host, separator, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    # int() refuses thousands of digits.
    is_number = port.isascii() and port.isdecimal() and len(port) <= _PORT_DIGITS
    if not separator or not host or not is_number or int(port) > _HIGHEST_PORT:
        raise InvalidArgumentError(
            f"{address!r} is no address for metrics; it is HOST:PORT, as in"
            " '127.0.0.1:9477'"
        )
    return host, int(port)


class _StoreNumbers:
    """The store, and the filesystem that it lies on."""

    def __init__(self, store: StoreAdmin, version: str) -> None:
        self._store = store
        self._version = version

    def collect(self) -> Iterable[Metric]:
        status = self._store.status()
        info = GaugeMetricFamily(
            "snapfs_store_info",
            "Always 1; the labels say what serves which store.",
            labels=("version", "root", "driver", "durability", "xattr_prefix"),
        )
        words = (status.driver, str(status.durability), status.xattr_prefix)
        info.add_metric((self._version, status.root, *words), 1)
        yield info
        yield GaugeMetricFamily(
            "snapfs_snapshots", "Snapshots in the store.", status.snapshots
        )
        yield GaugeMetricFamily(
            "snapfs_trash_entries",
            "Removed directories that wait to be reclaimed.",
            status.trash_entries,
        )
        yield from _disk_numbers(status.root)


def _disk_numbers(root: str) -> Iterable[Metric]:
    disk = os.statvfs(root)
    for name, what, value in (
        ("size_bytes", "Size of", disk.f_frsize * disk.f_blocks),
        ("free_bytes", "Bytes free for anybody on", disk.f_frsize * disk.f_bavail),
        ("inodes", "Inodes of", disk.f_files),
        ("free_inodes", "Inodes free on", disk.f_favail),
    ):
        text = f"{what} the filesystem of the store."
        yield GaugeMetricFamily(f"snapfs_filesystem_{name}", text, value)


class _FuseNumbers:
    """The live FUSE mounts; each server tells its own numbers."""

    def __init__(self, mounts: FuseMounts) -> None:
        self._mounts = mounts

    def collect(self) -> Iterable[Metric]:
        live = list(self._mounts())
        yield GaugeMetricFamily(
            "snapfs_fuse_mounts", "FUSE mounts of snapfs on this host.", len(live)
        )
        requests = CounterMetricFamily(
            "snapfs_fuse_requests",
            "Requests of the kernel to the servers of live FUSE mounts.",
            labels=("mount", "operation"),
        )
        copied = CounterMetricFamily(
            "snapfs_fuse_copied_bytes",
            "Bytes that live FUSE mounts have copied to their upperdirs.",
            labels=("mount",),
        )
        for mount in live:
            counts = mount.statistics.get("requests")
            assert isinstance(counts, Mapping)
            for operation, count in counts.items():
                requests.add_metric((mount.target, operation), count)
            bytes_ = mount.statistics.get("copied_bytes", 0)
            assert isinstance(bytes_, int)
            copied.add_metric((mount.target,), bytes_)
        yield requests
        yield copied
