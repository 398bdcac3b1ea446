"""Callers that mean harm, against a real service: everybody else is answered.

What the transport refuses frame by frame is in ``tests/snapfs/rpc``; here the whole
process is at stake: its memory, its threads, its log, and a well-behaved caller who
goes on all the while.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from snapfs.api import methods
from snapfs.api import snapshots_pb2 as pb
from snapfs.errors import SnapfsError
from snapfs.remote.snapshotter import RemoteSnapshotter
from snapfs.rpc import frames
from support.command import Command, serving
from support.rpc import Wire, greeted, grpc_fields
from support.rpc import message as framed
from support.served import RawClient

CONNECTIONS = 50
CALLS = 200
"""On each connection at once: 10,000 together."""

MEMORY_BYTES = 256 << 20


class Bystander:
    """A caller that keeps all rules, and calls one after the other."""

    def __init__(self, address: Path) -> None:
        self._remote = RemoteSnapshotter(str(address))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.answers = 0
        self.errors: list[SnapfsError] = []

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                assert self._remote.stat("known").name == "known"
                assert self._remote.mounts("known")
            except SnapfsError as error:
                self.errors.append(error)
            self.answers += 1

    def __enter__(self) -> Bystander:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()
        self._remote.close()

    def is_answered(self) -> bool:
        """Wait for two more answers; whoever hangs here has found a fault."""
        before = self.answers
        while self.answers < before + 2 and self._thread.is_alive():
            self._stop.wait(0.005)
        return not self.errors


@pytest.fixture
def address(command: Command) -> Path:
    return command.root.parent / "c.sock"


@pytest.fixture
def service(command: Command) -> Iterator[psutil.Process]:
    with serving(command, "--log-format", "json") as process:
        with RemoteSnapshotter(str(command.root.parent / "c.sock")) as remote:
            remote.prepare("known")
        yield psutil.Process(process.pid)
        assert process.poll() is None


def log_of(command: Command) -> list[dict[str, object]]:
    lines = (command.root.parent / "log").read_text().splitlines()
    return [json.loads(line) for line in lines]


def request(wire: Wire, number: int, path: str, content: bytes) -> bytes:
    fields = grpc_fields(path, ("containerd-namespace", "hostile"))
    return wire.headers(number, fields) + wire.data(number, framed(content))


def responses(wire: Wire, count: int) -> list[str]:
    """Read so many responses; return their statuses."""
    found: list[str] = []
    while len(found) < count:
        frame = wire.read_kind(frames.HEADERS, frames.RST_STREAM)
        assert frame.kind == frames.HEADERS, "a call was given up"
        fields = wire.read_fields(frame)
        if "grpc-status" in fields:
            found.append(fields["grpc-status"])
    return found


@pytest.mark.slow
def test_ten_thousand_calls_at_once_are_all_answered_and_others_too(
    service: psutil.Process, address: Path
) -> None:
    usage = pb.UsageRequest(key="known").SerializeToString()
    missing = pb.PrepareSnapshotRequest(key="x", parent="none").SerializeToString()
    calls = ((methods.USAGE.path, usage), (methods.PREPARE.path, missing))
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(greeted(address)) for _ in range(CONNECTIONS)]
        bystander = stack.enter_context(Bystander(address))
        for wire in wires:
            wire.sock.settimeout(None)  # answers may take as long as they take
            batch = [
                request(wire, 2 * number + 1, *calls[number % 2])
                for number in range(CALLS)
            ]
            wire.send(*batch)
        assert bystander.is_answered()
        statuses = [status for wire in wires for status in responses(wire, CALLS)]
        assert bystander.is_answered()

    assert len(statuses) == CONNECTIONS * CALLS
    assert set(statuses) == {"0", "5"}  # OK and NOT_FOUND
    assert service.memory_info().rss < MEMORY_BYTES


def test_malformed_requests_of_every_method_are_refused_and_written_down(
    service: psutil.Process, command: Command, address: Path
) -> None:
    every = [
        getattr(methods, name)
        for name in ("PREPARE", "VIEW", "MOUNTS", "COMMIT", "REMOVE", "STAT", "USAGE")
    ]
    with greeted(address) as wire, Bystander(address) as bystander:
        for number, method in enumerate(every):
            wire.send(request(wire, 2 * number + 1, method.path, b"\xff" * 100))
        statuses = responses(wire, len(every))
        assert bystander.is_answered()

    # INVALID_ARGUMENT; of Remove, to which any other would end a collection, 9.
    assert sorted(statuses) == [*("3" * (len(every) - 1)), "9"]
    blamed = [line for line in log_of(command) if line.get("namespace") == "hostile"]
    assert {line["method"] for line in blamed} == {method.path for method in every}
    assert all(f"pid {os.getpid()}" in str(line["peer"]) for line in blamed)


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param({"k": "v" * 5000}, id="long"),
        pytest.param({"k" * (1 << 20): "v"}, id="a megabyte"),
        pytest.param({f"k{n}": "v" * 4000 for n in range(3000)}, id="many"),
    ],
)
def test_giant_labels_harm_nobody(
    service: psutil.Process, address: Path, labels: dict[str, str]
) -> None:
    with Bystander(address) as bystander, RawClient(str(address)) as client:
        errors = []
        for number in range(8):
            asked = pb.PrepareSnapshotRequest(key=f"key {number}", labels=labels)
            try:
                client.call(methods.PREPARE, asked)
                client.call(methods.REMOVE, pb.RemoveSnapshotRequest(key=asked.key))
            except Exception as error:  # noqa: BLE001 - grpcio's have no public class
                errors.append(str(error))
        assert bystander.is_answered()

    fits = all(len(k) + len(v) <= 4096 for k, v in labels.items())
    assert len(errors) == (0 if fits else 8)
    assert service.memory_info().rss < MEMORY_BYTES


def test_slow_readers_of_lists_hold_up_nobody(
    service: psutil.Process, address: Path
) -> None:
    with RemoteSnapshotter(str(address)) as remote:
        for number in range(300):
            remote.prepare(f"key {number}", labels={"padding": "x" * 4000})
    everything = pb.ListSnapshotsRequest().SerializeToString()
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(greeted(address)) for _ in range(40)]
        for wire in wires:  # and nobody reads what they asked for
            wire.send(request(wire, 1, methods.LIST.path, everything))
        bystander = stack.enter_context(Bystander(address))
        assert bystander.is_answered()
        with RemoteSnapshotter(str(address)) as remote:
            assert len(list(remote.walk())) == 301
        assert service.memory_info().rss < MEMORY_BYTES


def test_connections_that_say_nothing_hold_up_nobody(
    service: psutil.Process, address: Path
) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            silent = stack.enter_context(socket.socket(socket.AF_UNIX))
            silent.connect(str(address))
        bystander = stack.enter_context(Bystander(address))
        assert bystander.is_answered()


@pytest.mark.root
def test_a_user_without_rights_reaches_neither_socket_nor_files(
    open_directory: Path,
) -> None:
    command = Command(open_directory / "root")
    script = """
import os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
for path in sys.argv[1:3]:
    try:
        socket.socket(socket.AF_UNIX).connect(path)
    except OSError as error:
        print(type(error).__name__)
for path in sys.argv[3:]:
    try:
        os.listdir(path)
    except OSError as error:
        print(type(error).__name__)
"""
    places: Sequence[Path] = (
        open_directory / "c.sock",
        command.root / "snapfs.sock",
        command.root,
        command.root / "snapshots",
    )

    with serving(command):
        done = subprocess.run(
            [sys.executable, "-c", script, *map(str, places)],
            capture_output=True,
            text=True,
            check=True,
        )

    assert done.stdout.split() == ["PermissionError"] * 4
