"""How long a garbage collection takes to clear a store."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Final

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
from snapfs.benchmarks.scenarios.population import (
    Population,
    leaves_first,
    populate,
)
from snapfs.benchmarks.scenarios.snapshot_calls import Call
from snapfs.benchmarks.targets.snapfs_service import only_commits_differ
from snapfs.benchmarks.targets.snapshot_service import SnapshotService

_COUNTS: Final = {
    Profile.QUICK: (100,),
    Profile.STANDARD: (100, 1000),
    Profile.FULL: (1000, 10_000),
}
_FILES: Final = 4  # of each snapshot: what frees the space has something to do

METADATA: Final = "metadata"  # what containerd waits for, under its global lock
SPACE: Final = "space"  # until nothing is left on disk

_UNTIL: Final = {
    Profile.QUICK: (SPACE,),
    Profile.STANDARD: (METADATA, SPACE),
    Profile.FULL: (METADATA, SPACE),
}


class CollectionPass:
    """List all, remove each, leaves first: what containerd's collector does.

    ``until=metadata`` ends with the last Remove, which is how long containerd is
    stopped; ``until=space`` goes on until the last directory is gone.
    """

    name = "collection_pass"
    question = "How long does removing every snapshot take, per snapshot?"
    family = Family.SNAPSHOTTER
    operation = "remove"
    baselines: Sequence[str] = ("containerd-overlayfs", "snapfs")

    def cells(self, profile: Profile) -> Sequence[Cell]:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.cells`."""
        return [
            collection_cell(count, until)
            for count in _COUNTS[profile]
            for until in _UNTIL[profile]
        ]

    def refuses(self, target: Target) -> str:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.refuses`."""
        if isinstance(target, SnapshotService):
            return only_commits_differ(target)
        return "it cannot say when the space of removed snapshots is free"

    def open(
        self, target: Target, cell: Cell, workspace: Workspace, seed: int
    ) -> Trial:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.open`."""
        assert isinstance(target, SnapshotService)
        return _Trial(target, cell, seed)


def collection_cell(count: int, until: str) -> Cell:
    """Return the cell of a pass over ``count`` snapshots; ``until`` as above."""
    return Cell(
        {"snapshots": count, "until": until, **client_parameters()},
        cache=CacheState.WARM,
        operations=count,
        runs=1,
        warmups=0,
        expected_s=count * 2e-3,
    )


class _Trial(Trial):
    def __init__(self, target: SnapshotService, cell: Cell, seed: int) -> None:
        self._target = target
        self._count = cell.operations
        self._frees_space = cell.parameters["until"] == SPACE
        self._seed = seed
        self._runs = 0
        self._population: Population | None = None
        self._client = connect_load(target.address)

    def set_up(self) -> None:
        self._runs += 1
        tag = str(self._runs)
        self._population = populate(
            self._client, self._count, self._seed, tag=tag, files=_FILES
        )
        self._target.settle()

    def run_once(self) -> Outcome:
        assert self._population is not None
        (listed,) = self._client.run([Call("list")], want=True).results
        removals = [Call("remove", name) for name in leaves_first(self._population)]
        self._client.run(removals)
        if self._frees_space:
            self._target.settle()
        return Outcome(operations=len(listed))

    def validate(self, outcome: Outcome) -> None:
        with contextlib.closing(self._target.connect()) as observer:
            left = [info.name for info in observer.walk()]
        if left or outcome.operations != self._count:
            raise InvalidResultError(
                f"{outcome.operations} of {self._count} were listed, {len(left)} stay"
            )
        if self._frees_space and self._target.leftovers():
            raise InvalidResultError(f"left on disk: {self._target.leftovers()[0]}")

    def tear_down(self) -> None:
        assert self._population is not None
        with contextlib.closing(self._target.connect()) as observer:
            left = {info.name for info in observer.walk()}
        # None, unless the run was not made or was cut short.
        names = [name for name in leaves_first(self._population) if name in left]
        self._client.run([Call("remove", name) for name in names])
        self._target.settle()

    def processes(self) -> Sequence[int]:
        return self._client.processes()

    def close(self) -> None:
        self._client.close()
