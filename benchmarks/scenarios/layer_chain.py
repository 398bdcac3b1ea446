"""How long layers take that change files of each other, one on top of the other.

The work is that of containerd's own benchmark, core/snapshots/benchsuite: sixteen
layers, in each of which ten files of 1 MiB are made, changed by four bytes in the
middle, or removed. Its published numbers can be read beside ours, and
``agreement.py`` holds the two against each other.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from snapfs.benchmarks.emptying import remove_all
from snapfs.benchmarks.protocols import (
    CacheState,
    Cell,
    Family,
    InvalidResultError,
    Outcome,
    Profile,
    Target,
    Trial,
    Workspace,
)
from snapfs.benchmarks.scenarios.load_client import client_parameters, connect_load
from snapfs.benchmarks.scenarios.snapshot_calls import Call
from snapfs.benchmarks.targets.snapshot_service import SnapshotService
from snapfs.kernel_overlay.mounting import mount_all, unmount
from snapfs.model import Mount

LAYERS: Final = 16
FILE_BYTES: Final = 1 << 20

PREPARE: Final = "prepare"
WRITE: Final = "write"  # mount, change files, unmount
COMMIT: Final = "commit"
PHASES: Final = (PREPARE, WRITE, COMMIT)
ALL: Final = "all"

_CHANGED_BYTES: Final = 4
_PIECE: Final = 32 << 10
"""What io.Copy writes at a time."""

# What happens to the files a to j of a layer: made, updated, or removed. Layers 3, 6,
# 9 ... do the first, other even ones the second, the rest make all files anew.
_MADE, _UPDATED, _REMOVED = "+", "~", "-"
_THIRD: Final = "~a ~b +c ~d +f ~e -g +h ~i +j"
_EVEN: Final = "~a +b -c +d ~e -f +g ~h +i ~j"
_OTHER: Final = "+a +b +c +d +e +f +g +h +i +j"


def changes_of(layer: int) -> Iterator[tuple[str, str]]:
    """Yield what layer ``layer``, from 1, does with which file, in order."""
    words = _THIRD if layer % 3 == 0 else _EVEN if layer % 2 == 0 else _OTHER
    yield from ((word[0], word[1]) for word in words.split())


FILES_MADE: Final = sum(
    change == _MADE for layer in range(1, LAYERS + 1) for change, _ in changes_of(layer)
)


def _bytes_written() -> int:
    """Return the bytes that a chain is said to be of: as upstream, 1 MiB a change."""
    return sum(FILE_BYTES for n in range(LAYERS) for _ in changes_of(n + 1))


class LayerChain:
    """Prepare, mount, change, unmount and commit, for each of sixteen layers."""

    name = "layer_chain"
    question = "How long does a layer take that changes files of the one below?"
    family = Family.SNAPSHOTTER
    operation = "layer"
    baselines: Sequence[str] = ("containerd-overlayfs", "snapfs")

    def cells(self, profile: Profile) -> Sequence[Cell]:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.cells`."""
        if profile is Profile.QUICK:
            return []
        return [
            Cell(
                {"phase": phase, **client_parameters()},
                cache=CacheState.FRESH_UPPER,
                operations=LAYERS,
                runs=1,
                warmups=0,
                expected_s=1.5,
            )
            for phase in (ALL, *PHASES)
        ]

    def refuses(self, target: Target) -> str:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.refuses`."""
        if not isinstance(target, SnapshotService):
            return "it cannot say when the space of removed snapshots is free"
        return "" if os.geteuid() == 0 else "mounting needs root"

    def open(
        self, target: Target, cell: Cell, workspace: Workspace, seed: int
    ) -> Trial:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.open`."""
        assert isinstance(target, SnapshotService)
        return ChainTrial(target, str(cell.parameters["phase"]), workspace, seed)


class ChainTrial(Trial):
    """A chain from nothing; each run leaves the store empty."""

    def __init__(
        self, target: SnapshotService, phase: str, workspace: Workspace, seed: int
    ) -> None:
        self._target = target
        self._phases = PHASES if phase == ALL else (phase,)
        self._place = workspace.run_directory / "layer"
        self._place.mkdir()
        # Made beforehand: what it takes to make random bytes is not the target's.
        self._content = random.Random(seed).randbytes(FILE_BYTES)  # noqa: S311
        self._client = connect_load(target.address)
        self._observer = target.connect()

    @property
    def address(self) -> str:
        """The socket of the target: what another instrument needs to know."""
        return self._target.address

    def run_once(self) -> Outcome:
        """See :meth:`snapfs.benchmarks.protocols.Trial.run_once`."""
        durations, parent = [], ""
        for number in range(1, LAYERS + 1):
            key, name = f"prepare-layer-{number}", f"committed-{number}"
            prepared = self._client.run([Call("prepare", key, parent)], want=True)
            begin = time.perf_counter_ns()
            self._write(number, prepared.results[0])
            write_ns = time.perf_counter_ns() - begin
            committed = self._client.run([Call("commit", key, name)])
            taken = {
                PREPARE: prepared.durations_ns[0],
                WRITE: write_ns,
                COMMIT: committed.durations_ns[0],
            }
            durations.append(sum(taken[phase] for phase in self._phases))
            parent = name
        size = _bytes_written() if len(self._phases) > 1 else 0
        return Outcome(operations=LAYERS, bytes=size, durations_ns=durations)

    def validate(self, outcome: Outcome) -> None:
        """The highest layer shows what the last changes of all layers left."""
        view = self._observer.view("look", f"committed-{LAYERS}")
        mount_all(view, str(self._place))
        try:
            found = {path.name for path in self._place.iterdir()}
            expected = _left()
            if found != set(expected):
                raise InvalidResultError(f"the files are {sorted(found)}")
            for name, is_updated in expected.items():
                data = (self._place / name).read_bytes()
                if len(data) != FILE_BYTES or (data != self._content) != is_updated:
                    raise InvalidResultError(f"{name} does not hold what was written")
        finally:
            unmount(str(self._place))

    def tear_down(self) -> None:
        """See :meth:`snapfs.benchmarks.protocols.Trial.tear_down`."""
        self.empty()

    def empty(self) -> None:
        """Remove all snapshots; the space is free when this returns."""
        remove_all(self._observer)
        self._target.settle()

    def processes(self) -> Sequence[int]:
        """See :meth:`snapfs.benchmarks.protocols.Trial.processes`."""
        return self._client.processes()

    def close(self) -> None:
        """See :meth:`snapfs.benchmarks.protocols.Trial.close`."""
        self._client.close()
        self._observer.close()

    def _write(self, number: int, mounts: Sequence[Mapping[str, object]]) -> None:
        mount_all([_mount(each) for each in mounts], str(self._place))
        try:
            for change, name in changes_of(number):
                _CHANGES[change](self._place / name, self._content)
        finally:
            unmount(str(self._place))


def _left() -> Mapping[str, bool]:
    """Return the files that are there at the end, and whether each was updated."""
    files: dict[str, bool] = {}
    for number in range(1, LAYERS + 1):
        for change, name in changes_of(number):
            if change == _REMOVED:
                files.pop(name, None)
            else:
                files[name] = change == _UPDATED
    return files


def _mount(words: Mapping[str, object]) -> Mount:
    options = words["options"]
    assert isinstance(options, list)
    return Mount(str(words["type"]), str(words["source"]), options=tuple(options))


def _make(path: Path, content: bytes) -> None:
    # As upstream: an older file is written over, not replaced; each is synced.
    with path.open("wb", buffering=0) as file:
        for begin in range(0, FILE_BYTES, _PIECE):
            file.write(content[begin : begin + _PIECE])
        path.chmod(0o777)
        os.fsync(file.fileno())


def _update(path: Path, content: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        middle = os.fstat(file).st_size // 2
        changed = bytes(byte ^ 0xFF for byte in content[middle:][:_CHANGED_BYTES])
        os.pwrite(file, changed, middle)
    finally:
        os.close(file)


def _remove(path: Path, _content: bytes) -> None:
    path.unlink(missing_ok=True)


_CHANGES: Final[Mapping[str, Callable[[Path, bytes], None]]] = MappingProxyType(
    {_MADE: _make, _UPDATED: _update, _REMOVED: _remove}
)
