"""The connection: how it breaks, how it ends, how far its socket may be."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from snapfs.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    SnapfsError,
    UnavailableError,
)
from snapfs.model import Info
from snapfs.remote import RemoteSnapshotter, RemoteStore
from snapfs.service.server import Listener, Server
from support.memory_store import MemoryStore
from support.served import GRACE_S, served


class EndlessStore(MemoryStore):
    """A walk has no end; it says when it is given up."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = threading.Event()

    def walk(self, filters: Sequence[str] = ()) -> Iterator[Info]:
        try:
            while True:
                yield Info("again")
        finally:
            self.closed.set()


class StuckStore(MemoryStore):
    """Stat waits until the test lets it go on."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.proceed = threading.Event()

    def stat(self, key: str) -> Info:
        self.entered.set()
        assert self.proceed.wait(GRACE_S)
        return super().stat(key)


def open_paths() -> set[str]:
    """Return what the descriptors of this process lead to."""
    paths = set()
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # that of the listing itself
            paths.add(os.readlink(f"/proc/self/fd/{descriptor}"))
    return paths


def test_nobody_there_names_the_socket_and_the_way_out(tmp_path: Path) -> None:
    address = str(tmp_path / "s")

    with (
        RemoteStore(address) as remote,
        pytest.raises(UnavailableError, match="start snapfs serve") as caught,
    ):
        remote.stat("a")

    assert address in str(caught.value)


def test_stale_socket_is_nobody_there(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "s"))

    with (
        RemoteStore(str(tmp_path / "s")) as remote,
        pytest.raises(UnavailableError, match="nobody answers"),
    ):
        remote.walk()


def test_server_that_is_unavailable_itself_is_told_apart(tmp_path: Path) -> None:
    class DriverlessStore(MemoryStore):
        def stat(self, key: str) -> Info:
            raise UnavailableError("no overlay here")

    with (
        served(tmp_path, DriverlessStore()) as address,
        RemoteStore(address) as remote,
        pytest.raises(UnavailableError) as caught,
    ):
        remote.stat("a")

    assert str(caught.value) == "no overlay here"


def test_time_limit_names_the_socket(tmp_path: Path) -> None:
    store = StuckStore()
    store.prepare("a")
    with (
        served(tmp_path, store) as address,
        RemoteStore(address, timeout_s=0.05) as remote,
    ):
        with pytest.raises(UnavailableError, match=r"within 0\.05 s") as caught:
            remote.stat("a")
        store.proceed.set()

    assert address in str(caught.value)


def test_client_finds_a_restarted_server_again(tmp_path: Path) -> None:
    store = MemoryStore()
    store.prepare("a")
    with served(tmp_path, store) as address:
        remote = RemoteStore(address)
        remote.stat("a")
    with pytest.raises(UnavailableError):
        remote.stat("a")

    with served(tmp_path, store), remote:
        while True:  # reconnecting begins when the backoff is over
            try:
                info = remote.stat("a")
            except UnavailableError:
                continue
            break

    assert info == store.stat("a")


def test_close_can_be_repeated_and_ends_the_use(tmp_path: Path) -> None:
    with served(tmp_path, MemoryStore()) as address:
        remote = RemoteStore(address)
        remote.cleanup()

        remote.close()
        remote.close()

        for call in (remote.cleanup, remote.walk, remote.status):
            with pytest.raises(FailedPreconditionError, match="closed"):
                call()


def test_close_ends_a_call_that_runs(tmp_path: Path) -> None:
    store = StuckStore()
    store.prepare("a")
    with served(tmp_path, store) as address, ThreadPoolExecutor(1) as threads:
        remote = RemoteStore(address)
        running = threads.submit(remote.stat, "a")
        assert store.entered.wait(GRACE_S)

        remote.close()

        assert isinstance(running.exception(GRACE_S), FailedPreconditionError)
        store.proceed.set()


def test_close_ends_a_listing(tmp_path: Path) -> None:
    store = EndlessStore()
    with served(tmp_path, store) as address:
        remote = RemoteStore(address)
        listing = remote.walk()
        next(listing)

        remote.close()

        with pytest.raises(FailedPreconditionError, match="closed"):
            for _ in listing:
                pass
        assert store.closed.wait(GRACE_S)


def test_listing_that_is_dropped_stops_the_server(tmp_path: Path) -> None:
    store = EndlessStore()
    with served(tmp_path, store) as address, RemoteStore(address) as remote:
        listing = remote.walk()
        next(listing)

        del listing

        assert store.closed.wait(GRACE_S)


def test_listing_that_was_never_read_stops_the_server_too(tmp_path: Path) -> None:
    store = EndlessStore()
    with served(tmp_path, store) as address, RemoteStore(address) as remote:
        listing = remote.walk()

        del listing
        gc.collect()

        assert store.closed.wait(GRACE_S)


def test_server_that_stops_during_a_listing_ends_it(tmp_path: Path) -> None:
    server = Server([Listener(str(tmp_path / "s"), EndlessStore())])
    server.start()
    with RemoteStore(str(tmp_path / "s")) as remote:
        listing = remote.walk()
        next(listing)

        server.stop(0)

        with pytest.raises(SnapfsError):
            for _ in listing:
                pass
    assert server.stop(GRACE_S) is True


def test_stat_during_walk_equals_the_info(tmp_path: Path) -> None:
    store = MemoryStore()
    for number in range(300):
        store.prepare(f"key {number}")

    with served(tmp_path, store, workers=1) as address, RemoteStore(address) as remote:
        for info in remote.walk():
            assert remote.stat(info.name) == info


def test_fifty_threads_share_a_client(tmp_path: Path) -> None:
    store = MemoryStore()

    with (
        served(tmp_path, store) as address,
        RemoteStore(address) as remote,
        ThreadPoolExecutor(50) as threads,
    ):
        keys = [f"key {number}" for number in range(500)]
        for _ in threads.map(remote.prepare, keys):
            pass
        infos = list(threads.map(remote.stat, keys))

    assert [info.name for info in infos] == keys
    assert len(list(store.walk())) == 500


@pytest.mark.parametrize(
    "name", ["with space", "100%25", "a#b?c", "ümläut", "odd\udcff", "a:b,c;d"]
)
def test_odd_names_of_sockets_are_reached(tmp_path: Path, name: str) -> None:
    address = str(tmp_path / name / "s")
    server = Server([Listener(address, MemoryStore())])
    server.start()

    try:
        with RemoteStore(address) as remote:
            remote.cleanup()
    finally:
        server.stop(GRACE_S)


def test_path_longer_than_the_kernels_limit_is_reached(tmp_path: Path) -> None:
    address = str(tmp_path / ("d" * 200) / ("e" * 200) / "s")
    server = Server([Listener(address, MemoryStore(), allow_long_path=True)])
    server.start()

    try:
        with RemoteStore(address) as remote:
            remote.cleanup()
            during = open_paths()
        after = open_paths()
    finally:
        server.stop(GRACE_S)

    assert os.path.dirname(address) in during
    assert os.path.dirname(address) not in after


def test_long_path_to_nowhere_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="No such file"):
        RemoteStore(str(tmp_path / ("d" * 200) / "s"))


def test_containerds_spelling_of_an_address_is_understood(tmp_path: Path) -> None:
    with (
        served(tmp_path, MemoryStore()) as address,
        RemoteSnapshotter(f"unix://{address}") as remote,
    ):
        remote.cleanup()


@pytest.mark.parametrize("address", ["", "unix://", "/a\0b"])
def test_what_is_no_path_is_refused(address: str) -> None:
    with pytest.raises(InvalidArgumentError):
        RemoteStore(address)


def test_client_in_a_process_ends_without_a_word(tmp_path: Path) -> None:
    """Neither at the end of the interpreter nor for its children."""
    program = (
        "import subprocess, sys\n"
        "from snapfs.remote import RemoteStore\n"
        "remote = RemoteStore(sys.argv[1])\n"
        "list(remote.walk())\n"
        "listing = remote.walk()\n"
        "next(listing)\n"
        "subprocess.run(['true'], check=True)\n"
        "remote.stat('key 0')\n"
        "if sys.argv[2] == 'close': remote.close()\n"
    )
    store = MemoryStore()
    for number in range(1000):
        store.prepare(f"key {number}")

    with served(tmp_path, store) as address:
        for end in ("close", "leave"):
            done = subprocess.run(
                [sys.executable, "-W", "error", "-c", program, address, end],
                capture_output=True,
                text=True,
                check=False,
                timeout=GRACE_S,
            )

            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_closed_client_leaves_no_thread(tmp_path: Path) -> None:
    with served(tmp_path, MemoryStore()) as address:
        before = set(threading.enumerate())
        with RemoteStore(address) as remote:
            remote.prepare("a")
            listing = remote.walk()
            next(listing)
        for thread in set(threading.enumerate()) - before:
            if not thread.name.startswith("snapfs-"):  # those are the server's
                thread.join(GRACE_S)
                assert not thread.is_alive()
