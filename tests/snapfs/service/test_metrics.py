"""What Prometheus reads, from real scrapes."""

from __future__ import annotations

import dataclasses
import socket
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from snapfs.api import methods
from snapfs.api import snapshots_pb2 as pb
from snapfs.api.codes import Code
from snapfs.errors import InvalidArgumentError, UnavailableError
from snapfs.model import StoreStatus
from snapfs.service.metrics import FuseMount, Metrics, MetricsServer, parse_address
from snapfs.service.server import Listener, Server
from support.memory_store import MemoryStore
from support.served import GRACE_S, RawClient


class StoreOnDisk(MemoryStore):
    """Says that it lies in a directory that exists."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._directory = directory

    def status(self) -> StoreStatus:
        return dataclasses.replace(super().status(), root=str(self._directory))


class Scraper:
    """A service with metrics, and what a scrape of it says."""

    def __init__(self, directory: Path, mounts: list[FuseMount]) -> None:
        self.store = StoreOnDisk(directory)
        self.metrics = Metrics(self.store, lambda: mounts, "1.2.3")
        self.address = str(directory / "s.sock")
        self.http = MetricsServer("127.0.0.1:0", self.metrics)
        self.server = Server(
            [Listener(self.address, self.store, admin=self.store)],
            observe=self.metrics.observe,
        )
        self.server.start()

    def samples(self, name: str) -> dict[tuple[str, ...], float]:
        """Scrape; return the values of ``name`` by their labels' values."""
        url = f"http://127.0.0.1:{self.http.port}/metrics"
        with urllib.request.urlopen(url) as response:
            text = response.read().decode()
        return {
            tuple(sample.labels.values()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name
        }

    def calls(self) -> Mapping[tuple[str, ...], float]:
        found = self.samples("snapfs_call_duration_seconds_count")
        # Labels come in the order of their names: code, method, service.
        return {(method, code): n for (code, method, _), n in found.items()}

    def close(self) -> None:
        self.server.stop(GRACE_S)
        self.http.close()


@pytest.fixture
def mounts() -> list[FuseMount]:
    return []


@pytest.fixture
def scraper(tmp_path: Path, mounts: list[FuseMount]) -> Iterator[Scraper]:
    made = Scraper(tmp_path, mounts)
    yield made
    made.close()


def test_calls_are_counted_by_method_and_status(scraper: Scraper) -> None:
    with RawClient(scraper.address) as client:
        client.call(methods.PREPARE, pb.PrepareSnapshotRequest(key="a"))
        for _ in range(3):
            client.call(methods.STAT, pb.StatSnapshotRequest(key="a"))
        with pytest.raises(grpc.RpcError):
            client.call(methods.STAT, pb.StatSnapshotRequest(key="b"))
        list(client.stream(methods.LIST, pb.ListSnapshotsRequest()))

    assert scraper.calls() == {
        ("Prepare", "OK"): 1,
        ("Stat", "OK"): 3,
        ("Stat", "NOT_FOUND"): 1,
        ("List", "OK"): 1,
    }


def test_a_failed_removal_counts_as_what_it_was(
    scraper: Scraper, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(key: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(scraper.store, "remove", fail)
    with RawClient(scraper.address) as client, pytest.raises(grpc.RpcError):
        client.call(methods.REMOVE, pb.RemoveSnapshotRequest(key="a"))

    assert scraper.calls() == {("Remove", "RESOURCE_EXHAUSTED"): 1}


def test_the_time_of_a_call_is_in_seconds(scraper: Scraper) -> None:
    scraper.metrics.observe(methods.STAT.path, Code.OK, 1_500_000_000)

    total = scraper.samples("snapfs_call_duration_seconds_sum")
    assert list(total.values()) == [1.5]


def test_store_and_disk_are_looked_at_when_scraped(scraper: Scraper) -> None:
    before = scraper.samples("snapfs_snapshots")

    scraper.store.prepare("a")

    assert before == {(): 0}
    assert scraper.samples("snapfs_snapshots") == {(): 1}
    assert scraper.samples("snapfs_filesystem_free_bytes")[()] > 0
    [info] = scraper.samples("snapfs_store_info")
    assert scraper.store.status().root in info


def test_fuse_mounts_tell_their_requests(
    scraper: Scraper, mounts: list[FuseMount]
) -> None:
    numbers = {"requests": {"LOOKUP": 7, "READ": 2}, "copied_bytes": 4096}
    mounts.append(FuseMount("/mnt", numbers))

    assert scraper.samples("snapfs_fuse_mounts") == {(): 1}
    assert scraper.samples("snapfs_fuse_requests_total") == {
        ("/mnt", "LOOKUP"): 7,
        ("/mnt", "READ"): 2,
    }
    assert scraper.samples("snapfs_fuse_copied_bytes_total") == {("/mnt",): 4096}


@pytest.mark.parametrize(
    "address", ["9477", ":9477", "host:", "host:x", "host:70000", f"host:{'9' * 5000}"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"as in .127\.0\.0\.1:9477"):
        parse_address(address)


def test_an_address_in_brackets_is_ipv6() -> None:
    assert parse_address("[::1]:9477") == ("::1", 9477)


def test_a_taken_address_is_named(scraper: Scraper) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        with pytest.raises(UnavailableError, match=address):
            MetricsServer(address, scraper.metrics)
