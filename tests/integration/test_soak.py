"""24 threads that run, change, commit and remove containers without a pause.

``SNAPFS_SOAK_S`` says for how many seconds (default 1,200). Nothing may fail, and when
all is removed nothing may be left: no descriptor, thread, mount, directory or memory.
The figures before and after are printed, and so is how long Prepare took meanwhile, on
snapfs and by turns on containerd's own overlayfs. Then each of the two is loaded alone,
in alternating blocks.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from snapfs.api import methods
from snapfs.api import snapshots_pb2 as pb
from snapfs.benchmarks.estimates import quantile, quantile_ratio
from support.containerd import Containerd, Generation, require_generation
from support.images import IMAGE, chain_ids, image_layers
from support.sandbox import CommandError, Sandbox, wait_until
from support.served import RawClient
from support.snapfs_program import PROXY_NAME, SnapfsProgram
from support.unpack_images import nurseries_of

pytestmark = [
    *(pytest.mark.root, pytest.mark.containerd),
    *(pytest.mark.full, pytest.mark.slow),
]

THREADS = 24
SECONDS = float(os.environ.get("SNAPFS_SOAK_S", "1200"))
PROBE = "probe"
OVERLAYFS = "overlayfs"
PAUSE_S = 0.02  # between two calls of a probe, so that it is no load itself
BLOCK_S = 30.0
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


def figures_at_rest(snapfs: SnapfsProgram, sandbox: Sandbox) -> Figures:
    service = snapfs.process()
    wait_until(snapfs.is_empty, "an empty store")
    wait_until(lambda: not nurseries_of(service.pid), "the nursery to end")
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
    """Prepare and Remove through containerd, one after the other, with a clock.

    On several snapshotters by turns, in random order: both see the same load.
    """

    def __init__(self, containerd: Containerd, *snapshotters: str) -> None:
        self._address = containerd.sandbox.home / "containerd.sock"
        self._snapshotters = snapshotters
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.blocks: dict[str, list[list[float]]] = {name: [] for name in snapshotters}

    def __enter__(self) -> Probe:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        parent = chain_ids(image_layers())[-1]
        chance = random.Random(1)
        until = 0.0
        with RawClient(str(self._address)) as client:
            for turn in itertools.count():
                if self._stop.wait(PAUSE_S):
                    return
                if time.monotonic() > until:
                    until = time.monotonic() + BLOCK_S
                    for blocks in self.blocks.values():
                        blocks.append([])
                for name in chance.sample(self._snapshotters, len(self._snapshotters)):
                    took = self._prepare(client, name, f"probe-{turn}", parent)
                    self.blocks[name][-1].append(took)

    def _prepare(
        self, client: RawClient, snapshotter: str, key: str, parent: str
    ) -> float:
        namespace = f"{PROBE}-{snapshotter}"
        asked = pb.PrepareSnapshotRequest(
            snapshotter=snapshotter, key=key, parent=parent
        )
        begun = time.perf_counter()
        client.call(methods.PREPARE, asked, namespace)
        took = time.perf_counter() - begun
        removal = pb.RemoveSnapshotRequest(snapshotter=snapshotter, key=key)
        try:
            client.call(methods.REMOVE, removal, namespace)
        except grpc.RpcError as error:  # a collection may have been faster
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise
        return took


def told(blocks: dict[str, list[list[float]]]) -> str:
    """Say how long Prepare took on each snapshotter, and compare the first two."""
    lines = []
    for name, found in blocks.items():
        ordered = sorted(value for block in found for value in block)
        median, high = quantile(ordered, 0.5) * 1e3, quantile(ordered, 0.99) * 1e3
        lines.append(
            f"Prepare through containerd on {name}, {len(ordered)} times:"
            f" median {median:.2f} ms, p99 {high:.2f} ms"
        )
    ours, theirs = list(blocks.values())[:2]
    for fraction in (0.5, 0.99):
        ratio, interval = quantile_ratio(
            ours, theirs, fraction, "soak", are_paired=True
        )
        lines.append(
            f"ratio of quantile {fraction:g}: {ratio:.2f}"
            f" [{interval.low:.2f}, {interval.high:.2f}]"
        )
    return "\n".join(lines)


@contextlib.contextmanager
def populated(containerd: Containerd, archive: Path) -> Iterator[None]:
    """Have the image in all namespaces that the load and the probe use."""
    ours = containerd.snapshotter
    containerd.import_image(archive)
    for containerd.snapshotter in (OVERLAYFS, ours):
        containerd.import_image(archive, namespace=f"{PROBE}-{containerd.snapshotter}")
    yield
    namespaces = containerd.ctr("namespaces", "ls", "--quiet").split()
    containerd.remove_everything(*namespaces)


def soaked(containerd: Containerd, archive: Path, seconds: float) -> tuple[Load, Probe]:
    load = Load(containerd, archive, seconds)
    with Probe(containerd, containerd.snapshotter, OVERLAYFS) as probe:
        load.run()
    return load, probe


def test_nothing_fails_and_nothing_is_left(
    containerd: Containerd, snapfs: SnapfsProgram, sandbox: Sandbox, archive: Path
) -> None:
    with populated(containerd, archive):  # so that all threads have started once
        warm, _ = soaked(containerd, archive, 0)
    before = figures_at_rest(snapfs, sandbox)

    with populated(containerd, archive):
        load, probe = soaked(containerd, archive, SECONDS)
    after = figures_at_rest(snapfs, sandbox)
    print(f"\n{load.rounds} rounds by {THREADS} threads in {SECONDS:g} s")
    print(f"before: {before}\nafter:  {after}\n{told(probe.blocks)}")

    assert warm.errors == load.errors == []
    assert load.rounds > THREADS
    assert after.mounts == before.mounts
    assert after.directories == before.directories == 0
    assert after.children <= before.children
    assert after.threads <= before.threads + 4  # of the pools, started as needed
    assert after.descriptors <= before.descriptors + 4
    assert after.memory_bytes <= before.memory_bytes + GROWN_BYTES


def test_each_snapshotter_under_its_own_load(
    containerd: Containerd, archive: Path
) -> None:
    blocks: dict[str, list[list[float]]] = {PROXY_NAME: [], OVERLAYFS: []}
    rounds = dict.fromkeys(blocks, 0)
    chance = random.Random(2)
    with populated(containerd, archive):
        containerd.snapshotter = OVERLAYFS
        containerd.import_image(archive)  # its containers run in the same namespace
        for _ in range(max(2, int(min(SECONDS, 240) / BLOCK_S / 2))):
            for name in chance.sample(list(blocks), 2):
                containerd.snapshotter = name
                load = Load(containerd, archive, BLOCK_S)
                with Probe(containerd, name) as probe:
                    load.run()
                assert load.errors == []
                blocks[name].append([t for block in probe.blocks[name] for t in block])
                rounds[name] += load.rounds
        containerd.snapshotter = PROXY_NAME
    print(f"\n{rounds} rounds by {THREADS} threads\n{told(blocks)}")
