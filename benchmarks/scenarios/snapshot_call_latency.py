"""How long each call of the snapshots API takes, however many snapshots there are."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Mapping, Sequence
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
from snapfs.benchmarks.scenarios.call_plans import (
    LISTS,
    OPERATIONS,
    Expected,
    Plan,
    Run,
    plan,
)
from snapfs.benchmarks.scenarios.load_client import client_parameters, connect_load
from snapfs.benchmarks.scenarios.population import (
    populate,
    upperdir,
    write_files,
)
from snapfs.benchmarks.scenarios.snapshot_calls import Answer, Call
from snapfs.benchmarks.targets.snapshot_service import SnapshotService
from snapfs.errors import NotFoundError

# Few in a run, many runs: the block's value is the median of the runs, so that a call
# that another process on the machine held up does not shift it.
_CALLS: Final = 10
# Every answer is long: a List of 10,000 takes as long as a hundred other calls.
_LIST_CALLS: Final = 1

_RUNS: Final = {Profile.QUICK: 5, Profile.STANDARD: 10, Profile.FULL: 20}

_ALL: Final = tuple(name for name in OPERATIONS if name != "list-tenth")
_FLAT: Final = ("prepare", "stat", "list")  # stand for all that must not grow
# By how many snapshots are present. Making them takes most of a cell's time.
_CALLS_ASKED: Final[Mapping[Profile, Mapping[int, Sequence[str]]]] = {
    Profile.QUICK: {
        100: ("prepare", "stat", "commit", "remove"),
        1000: ("list",),
    },
    # A tenth of 10,000 is to be compared with all of 1,000.
    Profile.STANDARD: {100: _ALL, 1000: _FLAT, 10_000: (*_FLAT, "list-tenth")},
    Profile.FULL: {10: _ALL, 1000: _ALL, 10_000: OPERATIONS},
}


class SnapshotCallLatency:
    """One call after the other over gRPC, each timed by containerd's own client."""

    name = "snapshot_call_latency"
    question = "How long does a call take over gRPC while other snapshots are present?"
    family = Family.SNAPSHOTTER
    operation = "call"
    baselines: Sequence[str] = ("containerd-overlayfs", "snapfs")

    def cells(self, profile: Profile) -> Sequence[Cell]:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.cells`."""
        return [
            call_cell(profile, operation, count)
            for count, operations in _CALLS_ASKED[profile].items()
            for operation in operations
        ]

    def refuses(self, target: Target) -> str:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.refuses`."""
        if isinstance(target, SnapshotService):
            return ""
        return "it cannot say when the space of removed snapshots is free"

    def open(
        self, target: Target, cell: Cell, workspace: Workspace, seed: int
    ) -> Trial:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.open`."""
        assert isinstance(target, SnapshotService)
        return _Trial(target, cell, seed)


def call_cell(profile: Profile, operation: str, count: int, files: int = 0) -> Cell:
    """Return the cell of one call with ``count`` snapshots present.

    With ``files``, what is committed holds so many files of 4 KiB, not yet on disk.
    """
    is_list = operation in LISTS
    content = {"files": files} if files else {}
    return Cell(
        {"call": operation, "snapshots": count, **content, **client_parameters()},
        operations=_LIST_CALLS if is_list else _CALLS,
        # One answer a run: enough of them for a p99 in 9 blocks.
        runs=_RUNS[profile] * 2 if is_list else _RUNS[profile],
        expected_s=0.02 + (count * 2e-5 if is_list else 0),
    )


class _Trial(Trial):
    """Each run has its own keys, and leaves the store as it was."""

    def __init__(self, target: SnapshotService, cell: Cell, seed: int) -> None:
        self._target = target
        self._operation = str(cell.parameters["call"])
        self._calls = cell.operations
        self._files = int(cell.parameters.get("files", 0))
        self._chance = random.Random(seed)  # noqa: S311 - reproducible, no secret
        self._runs = 0
        self._plan: Plan | None = None
        self._answer: Answer | None = None
        with contextlib.ExitStack() as undo:
            self._client = connect_load(target.address)
            undo.callback(self._client.close)
            self._observer = target.connect()
            undo.callback(self._observer.close)
            count = int(cell.parameters["snapshots"])
            self._population = populate(self._client, count, seed)
            target.settle()
            self._close = undo.pop_all().close

    def set_up(self) -> None:
        self._runs += 1
        keys = [f"default/r{self._runs}/call-{n:064}" for n in range(self._calls)]
        self._plan = plan(self._operation, Run(self._population, keys, self._chance))
        self._answer = None
        made = self._client.run(self._plan.before, want=self._files > 0)
        for mounts in made.results:
            write_files(upperdir(mounts), self._files)

    def run_once(self) -> Outcome:
        assert self._plan is not None
        self._answer = self._client.run(self._plan.timed, want=True)
        durations = self._answer.durations_ns
        return Outcome(operations=len(durations), durations_ns=durations)

    def validate(self, outcome: Outcome) -> None:
        assert self._plan is not None
        assert self._answer is not None
        if outcome.operations != len(self._plan.timed):
            raise InvalidResultError("the client has not made every call")
        self._plan.check(self._answer)
        for key, expected in self._plan.leaves.items():
            found = self._look_up(key)
            if found != expected:
                raise InvalidResultError(f"{key} is {found}, and should be {expected}")

    def tear_down(self) -> None:
        assert self._plan is not None
        if not self._plan.before and not self._plan.after:
            return
        after = self._plan.after
        if self._answer is None:  # the timed calls were not made, or not all of them
            made = (call.key for call in (*after, *self._plan.before))
            after = [Call("remove", key) for key in made if self._look_up(key)]
        self._client.run(after)
        self._target.settle()

    def processes(self) -> Sequence[int]:
        return self._client.processes()

    def close(self) -> None:
        self._close()

    def _look_up(self, key: str) -> Expected:
        try:
            info = self._observer.stat(key)
        except NotFoundError:
            return None
        return info.kind.name.capitalize(), info.parent
