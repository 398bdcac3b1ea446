from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from snapfs.benchmarks.protocols import SnapshotterTarget, Workspace
from snapfs.benchmarks.targets.containerd_overlayfs import ContainerdOverlayfs
from snapfs.benchmarks.targets.server_process import (
    ServerError,
    ServerProcess,
    wait_for_answer,
)
from snapfs.benchmarks.targets.snapfs_service import SnapfsService
from snapfs.benchmarks.targets.snapshot_service import SnapshotService
from snapfs.model import Durability

SERVICES = [
    pytest.param(SnapfsService, id="snapfs"),
    pytest.param(lambda: SnapfsService(Durability.LAYER), id="snapfs-layer"),
    pytest.param(ContainerdOverlayfs, id="containerd-overlayfs"),
]


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with tempfile.TemporaryDirectory(prefix="b-") as short:
        yield Workspace(tmp_path, Path(short), "as found")


@contextlib.contextmanager
def started(target: SnapshotService, workspace: Workspace) -> Iterator[SnapshotService]:
    if reason := target.unavailable():
        pytest.skip(reason)
    target.start(workspace)
    try:
        yield target
    finally:
        target.stop()


@pytest.mark.slow
@pytest.mark.parametrize("make", SERVICES)
class TestEveryService:
    def test_it_is_a_snapshotter_target_that_serves_the_api(
        self, make: Callable[[], SnapshotService], workspace: Workspace
    ) -> None:
        with started(make(), workspace) as target:
            assert isinstance(target, SnapshotterTarget)

            with target.connect() as client:
                client.prepare("key")
                client.commit("name", "key")

                assert [info.name for info in client.walk()] == ["name"]

    def test_a_second_stop_does_nothing_and_no_process_is_left(
        self, make: Callable[[], SnapshotService], workspace: Workspace
    ) -> None:
        with started(make(), workspace) as target:
            pids = target.processes()
            assert pids

        target.stop()

        assert not [pid for pid in pids if psutil.pid_exists(pid)]
        assert not target.processes()

    def test_a_launch_after_a_halt_finds_the_same_snapshots(
        self, make: Callable[[], SnapshotService], workspace: Workspace
    ) -> None:
        with started(make(), workspace) as target:
            with target.connect() as client:
                client.prepare("key")

            target.forget_caches()

            with target.connect() as client:
                assert client.stat("key").name == "key"

    def test_settle_leaves_nothing_of_a_removed_snapshot(
        self, make: Callable[[], SnapshotService], workspace: Workspace
    ) -> None:
        with started(make(), workspace) as target, target.connect() as client:
            client.prepare("kept")
            client.prepare("removed")
            client.remove("removed")

            target.settle()

            assert len(target.leftovers()) == 1

    def test_settle_takes_a_store_that_was_always_empty(
        self, make: Callable[[], SnapshotService], workspace: Workspace
    ) -> None:
        with started(make(), workspace) as target:
            target.settle()

            assert not target.leftovers()

    def test_its_facts_name_a_version_and_the_durability(
        self, make: Callable[[], SnapshotService], workspace: Workspace
    ) -> None:
        facts = make().fairness()

        assert facts.version
        assert "on disk" in facts.durability


class TestServerProcess:
    def test_a_program_that_ends_is_reported_with_its_last_words(
        self, workspace: Workspace
    ) -> None:
        server = python_server(workspace, "raise SystemExit('no such luck')")

        with pytest.raises(ServerError, match=r"status 1.*no such luck"):
            server.start()

        assert not server.pids()

    def test_a_program_that_fails_when_stopped_is_reported(
        self, workspace: Workspace
    ) -> None:
        server = python_server(workspace, ANSWERING_SERVER)
        server.start()

        with pytest.raises(ServerError, match="status 3"):
            server.stop()

    def test_a_socket_deeper_than_107_bytes_is_found(self, tmp_path: Path) -> None:
        deep = tmp_path / ("d" * 100)
        deep.mkdir()
        program = ANSWERING_SERVER.replace("sys.argv[1]", "'s.sock'")
        server = subprocess.Popen([sys.executable, "-c", program], cwd=deep)
        try:
            assert wait_for_answer(deep / "s.sock")
        finally:
            server.kill()
            server.wait()


# Answers anything with a byte until SIGTERM, and ends badly then.
ANSWERING_SERVER = """
import signal, socket, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen()
while True:
    client, _ = server.accept()
    client.send(b"x")
    client.close()
"""


def python_server(workspace: Workspace, program: str) -> ServerProcess:
    address = workspace.run_directory / "s.sock"
    return ServerProcess(
        [sys.executable, "-c", program, str(address)],
        address,
        workspace.run_directory / "log",
    )
