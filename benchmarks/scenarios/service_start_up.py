"""How long a snapshotter takes from its start to its first answer."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from typing import Final

from snapfs.benchmarks.protocols import (
    Cell,
    Family,
    InvalidResultError,
    Outcome,
    Profile,
    Target,
    Trial,
    Workspace,
)
from snapfs.benchmarks.scenarios.load_client import connect_load
from snapfs.benchmarks.scenarios.population import populate
from snapfs.benchmarks.targets.snapfs_service import only_commits_differ
from snapfs.benchmarks.targets.snapshot_service import SnapshotService

# Not 0: containerd's snapshotter answers List with an error before the first one.
_COUNTS: Final = {
    Profile.QUICK: (100,),
    Profile.STANDARD: (10, 100, 1000),
    Profile.FULL: (10, 1000, 10_000),
}


class ServiceStartUp:
    """The time from exec(2) to the server's first HTTP/2 frame, on a clean store."""

    name = "service_start_up"
    question = "How long after its start does the service answer?"
    family = Family.SNAPSHOTTER
    operation = "start"
    baselines: Sequence[str] = ("containerd-overlayfs", "snapfs")

    def cells(self, profile: Profile) -> Sequence[Cell]:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.cells`."""
        runs = 1 if profile is Profile.QUICK else 2
        return [
            dataclasses.replace(start_cell(count), runs=runs, warmups=0)
            for count in _COUNTS[profile]
        ]

    def refuses(self, target: Target) -> str:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.refuses`."""
        if not isinstance(target, SnapshotService):
            return "it cannot be restarted"
        return only_commits_differ(target)

    def open(
        self, target: Target, cell: Cell, workspace: Workspace, seed: int
    ) -> Trial:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.open`."""
        assert isinstance(target, SnapshotService)
        return _Trial(target, int(cell.parameters["snapshots"]), seed)


def start_cell(count: int) -> Cell:
    """Return the cell of a start on a store of ``count`` snapshots."""
    return Cell({"snapshots": count}, runs=3, expected_s=0.5)


class _Trial(Trial):
    def __init__(self, target: SnapshotService, count: int, seed: int) -> None:
        self._target = target
        self._count = count
        self._is_running = True
        with contextlib.closing(connect_load(target.address)) as client:
            populate(client, count, seed)
        target.settle()

    def set_up(self) -> None:
        self._target.halt()
        self._is_running = False

    def run_once(self) -> Outcome:
        self._target.launch()
        self._is_running = True
        return Outcome(operations=1)

    def tear_down(self) -> None:
        if not self._is_running:
            self._target.launch()
            self._is_running = True

    def validate(self, outcome: Outcome) -> None:
        with self._target.connect() as snapshotter:
            found = sum(1 for _ in snapshotter.walk())
        if found != self._count:
            raise InvalidResultError(
                f"{found} of {self._count} snapshots are there after the start"
            )
