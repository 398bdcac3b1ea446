"""24 threads that run, change, commit and remove containers without a pause.

``SNAPFS_SOAK_S`` says for how many seconds (default 1,200). Nothing may fail, and when
all is removed nothing may be left: no descriptor, thread, mount, directory or memory.
The figures before and after are printed, and so is how long Prepare took meanwhile, on
snapfs and on containerd's own overlayfs under the same load.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from snapfs.api import methods
from snapfs.api import snapshots_pb2 as pb
from support.containerd import Containerd, Generation, require_generation
from support.images import IMAGE, chain_ids, image_layers
from support.sandbox import CommandError, Sandbox, wait_until
from support.served import RawClient
from support.snapfs_program import PROXY_NAME, SnapfsProgram

pytestmark = [
    *(pytest.mark.root, pytest.mark.containerd),
    *(pytest.mark.full, pytest.mark.slow),
]

THREADS = 24
SECONDS = float(os.environ.get("SNAPFS_SOAK_S", "1200"))
PROBE = "probe"
GROWN_BYTES = 32 << 20


@pytest.fixture
def generation() -> Generation:
    return require_generation("built")


@dataclasses.dataclass(frozen=True)
class Figures:
    """What could leak."""

    descriptors: int
    threads: int
    children: int
    memory_bytes: int
    mounts: int
    directories: int


def figures(snapfs: SnapfsProgram, sandbox: Sandbox) -> Figures:
    service = snapfs.process()
    return Figures(
        descriptors=service.num_fds(),
        threads=service.num_threads(),
        children=len(service.children(recursive=True)),
        memory_bytes=service.memory_info().rss,
        mounts=len(sandbox.mount_points()),
        directories=len(snapfs.directories()),
    )


class Load:
    """The threads, each with a namespace of its own for what it imports."""

    def __init__(self, containerd: Containerd, archive: Path, seconds: float) -> None:
        self._containerd = containerd
        self._archive = archive
        self._until = time.monotonic() + seconds
        self.errors: list[str] = []
        self.rounds = 0
        self._lock = threading.Lock()

    def run(self) -> None:
        threads = [
            threading.Thread(target=self._work, args=(number,))
            for number in range(THREADS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _work(self, number: int) -> None:
        turn = 0
        while turn == 0 or time.monotonic() < self._until:
            try:
                self._round(f"t{number}-{turn}", number, turn)
            except (CommandError, AssertionError) as error:
                self.errors.append(str(error))
                return
            turn += 1
            with self._lock:
                self.rounds += 1

    def _round(self, name: str, number: int, turn: int) -> None:
        containerd = self._containerd
        kind = (number + turn) % 4
        if kind == 0:
            containerd.run(IMAGE, name, "sleep", "1000", options=("--detach",))
            said = containerd.execute(
                name, "sh", "-c", f"echo {name} >/srv/new && cat /srv/new /etc/motd"
            )
            assert name in said
            containerd.remove_container(name)
        elif kind == 1:
            containerd.run(IMAGE, name, "sh", "-c", "echo changed >/srv/app/message")
            containerd.snapshots("commit", f"kept-{name}", name)
            containerd.ctr("containers", "rm", "--keep-snapshot", name)
            # Nothing protects it: the collection of another thread may be faster.
            done = containerd.try_ctr(
                *("snapshots", "--snapshotter", containerd.snapshotter, "rm"),
                f"kept-{name}",
            )
            assert done.returncode == 0 or "not found" in done.stderr, done.stderr
        elif kind == 2:
            containerd.run(IMAGE, name, "ls", "/", options=("--rm",))
        else:
            namespace = f"ns{number}"
            containerd.import_image(self._archive, namespace=namespace)
            containerd.ctr("images", "rm", "--sync", IMAGE, namespace=namespace)


class Probe:
    """Prepare and Remove through containerd, one after the other, with a clock."""

    def __init__(self, containerd: Containerd) -> None:
        self._address = containerd.sandbox.home / "containerd.sock"
        self._snapshotter = containerd.snapshotter
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.seconds: list[float] = []

    def __enter__(self) -> Probe:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        parent = chain_ids(image_layers())[-1]
        with RawClient(str(self._address)) as client:
            turn = 0
            while not self._stop.wait(0.02):
                turn += 1
                asked = pb.PrepareSnapshotRequest(
                    snapshotter=self._snapshotter, key=f"probe-{turn}", parent=parent
                )
                begun = time.perf_counter()
                client.call(methods.PREPARE, asked, PROBE)
                self.seconds.append(time.perf_counter() - begun)
                removal = pb.RemoveSnapshotRequest(
                    snapshotter=self._snapshotter, key=asked.key
                )
                try:
                    client.call(methods.REMOVE, removal, PROBE)
                except grpc.RpcError as error:  # a collection may have been faster
                    if error.code() is not grpc.StatusCode.NOT_FOUND:
                        raise

    def told(self) -> str:
        cut = statistics.quantiles(self.seconds, n=100)
        return (
            f"Prepare through containerd on {self._snapshotter}, {len(self.seconds)}"
            f" times: median {cut[49] * 1e3:.2f} ms, p99 {cut[98] * 1e3:.2f} ms"
        )


@contextlib.contextmanager
def populated(containerd: Containerd, archive: Path) -> Iterator[None]:
    """Have the image in both namespaces that the load and the probe use."""
    for namespace in ("default", PROBE):
        containerd.import_image(archive, namespace=namespace)
    yield
    namespaces = containerd.ctr("namespaces", "ls", "--quiet").split()
    containerd.remove_everything(*namespaces)


def soaked(containerd: Containerd, archive: Path, seconds: float) -> tuple[Load, Probe]:
    load = Load(containerd, archive, seconds)
    with Probe(containerd) as probe:
        load.run()
    return load, probe


def test_nothing_fails_and_nothing_is_left(
    containerd: Containerd, snapfs: SnapfsProgram, sandbox: Sandbox, archive: Path
) -> None:
    with populated(containerd, archive):  # so that all threads have started once
        warm, _ = soaked(containerd, archive, 0)
    wait_until(snapfs.is_empty, "an empty store")
    before = figures(snapfs, sandbox)

    with populated(containerd, archive):
        load, probe = soaked(containerd, archive, SECONDS)
    wait_until(snapfs.is_empty, "an empty store")
    after = figures(snapfs, sandbox)
    print(f"\n{load.rounds} rounds by {THREADS} threads in {SECONDS:g} s")
    print(f"before: {before}\nafter:  {after}\n{probe.told()}")

    assert warm.errors == load.errors == []
    assert load.rounds > THREADS
    assert after.mounts == before.mounts
    assert after.directories == before.directories == 0
    assert after.children <= before.children
    assert after.threads <= before.threads + 4  # of the pools, started as needed
    assert after.descriptors <= before.descriptors + 4
    assert after.memory_bytes <= before.memory_bytes + GROWN_BYTES


def test_the_same_load_on_overlayfs_for_comparison(
    containerd: Containerd, archive: Path
) -> None:
    containerd.snapshotter = "overlayfs"
    with populated(containerd, archive):
        load, probe = soaked(containerd, archive, min(SECONDS, 120))
    print(f"\n{load.rounds} rounds by {THREADS} threads\n{probe.told()}")

    assert load.errors == []
    assert containerd.snapshotter != PROXY_NAME
