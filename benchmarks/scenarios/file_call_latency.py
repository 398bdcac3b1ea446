"""How long the calls on small files take, warm and on a tree just mounted."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from snapfs.benchmarks.protocols import (
    CacheState,
    Cell,
    Outcome,
    Profile,
    TreeTarget,
    Trial,
    Workspace,
)
from snapfs.benchmarks.scenarios.layers import SHARED, file_names, make_layers
from snapfs.benchmarks.scenarios.name_lookups import (
    DoNames,
    list_names,
    require_all,
    run_in,
    stat_absent_names,
    stat_names,
)
from snapfs.benchmarks.scenarios.presented import (
    PresentedTree,
    TreeScenario,
    TreeTrial,
)

_DEPTHS: Final = {
    Profile.QUICK: (8,),
    Profile.STANDARD: (1, 8, 64),
    Profile.FULL: (1, 8, 64),
}
_STATES: Final = {
    Profile.QUICK: (CacheState.WARM, CacheState.FRESH_UPPER),
    Profile.STANDARD: (CacheState.WARM, CacheState.FRESH_UPPER),
    Profile.FULL: (CacheState.WARM, CacheState.FRESH_UPPER, CacheState.COLD),
}
_RUNS: Final = {CacheState.WARM: 5, CacheState.FRESH_UPPER: 2, CacheState.COLD: 1}
_NAMES: Final = 500
_ENOUGH: Final = 1 << 12


class FileCallLatency(TreeScenario):
    """One call, or open(2), read(2) and close(2) of a small file, for each name.

    ``warm``: all was done before. ``fresh-upper``: the tree was mounted for this run.
    ``cold``: the same, and nothing of the layers is cached either.
    """

    name = "file_call_latency"
    question = "How long do calls on small files take below so many layers?"
    operation = "name"

    def cells(self, profile: Profile) -> Sequence[Cell]:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.cells`."""
        return [
            Cell(
                {"call": call, "depth": depth, "names": _NAMES},
                cache=state,
                operations=_NAMES,
                runs=_RUNS[state],
                warmups=1 if state is CacheState.WARM else 0,
                expected_s=0.01 if state is CacheState.WARM else 0.2,
            )
            for state in _STATES[profile]
            for call in _CALLS
            for depth in _DEPTHS[profile]
        ]

    def trial(
        self, target: TreeTarget, cell: Cell, workspace: Workspace, seed: int
    ) -> Trial:
        """See :meth:`TreeScenario.trial`."""
        return _Trial(target, cell, workspace, seed)


class _Trial(TreeTrial):
    def __init__(
        self, target: TreeTarget, cell: Cell, workspace: Workspace, seed: int
    ) -> None:
        depth, names = int(cell.parameters["depth"]), int(cell.parameters["names"])
        layers = make_layers(workspace.directory, depth, names)
        self._do, prefix = _CALLS[str(cell.parameters["call"])]
        self._names = [f"{prefix}{name}" for name in file_names(names)]
        random.Random(seed).shuffle(self._names)  # noqa: S311 - reproducible
        self.tree = PresentedTree(target, layers, cell)

    def run_once(self) -> Outcome:
        return run_in(self.tree.root / SHARED, self._do, self._names)

    def validate(self, outcome: Outcome) -> None:
        require_all(outcome, self._names)


def _read(directory: int, names: Sequence[str]) -> int:
    right = 0
    for name in names:
        file = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
        # A file holds its name.
        right += os.read(file, _ENOUGH) == name.encode()
        os.close(file)
    return right


def _list_and_stat(directory: int, _names: Sequence[str]) -> int:
    with os.scandir(directory) as entries:
        return sum(entry.stat(follow_symlinks=False).st_size > 0 for entry in entries)


# Each with what stands before the names of files that exist.
_CALLS: Final[Mapping[str, tuple[DoNames, str]]] = MappingProxyType(
    {
        "stat": (stat_names, ""),
        "stat-absent": (stat_absent_names, "no-"),
        "open-read-close": (_read, ""),
        "list": (list_names, ""),
        "list-stat": (_list_and_stat, ""),
    }
)
