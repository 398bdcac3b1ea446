"""How long the calls on small files take, warm and on a tree just mounted."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from snapfs.benchmarks.protocols import (
    CacheState,
    Cell,
    Family,
    InvalidResultError,
    Outcome,
    Profile,
    Target,
    TreeTarget,
    Trial,
    Workspace,
)
from snapfs.benchmarks.scenarios.layers import SHARED, file_names, make_layers
from snapfs.benchmarks.scenarios.presented import PresentedTree, why_no_tree

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


class FileCallLatency:
    """One call, or open(2), read(2) and close(2) of a small file, for each name.

    ``warm``: all was done before. ``fresh-upper``: the tree was mounted for this run.
    ``cold``: the same, and nothing of the layers is cached either.
    """

    name = "file_call_latency"
    question = "How long do calls on small files take below so many layers?"
    family = Family.TREE
    operation = "name"
    baselines: Sequence[str] = ("kernel-overlayfs", "plain-directory")

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

    def refuses(self, target: Target) -> str:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.refuses`."""
        return why_no_tree(target)

    def open(
        self, target: Target, cell: Cell, workspace: Workspace, seed: int
    ) -> Trial:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.open`."""
        assert isinstance(target, TreeTarget)
        return _Trial(target, cell, workspace, seed)


class _Trial(Trial):
    def __init__(
        self, target: TreeTarget, cell: Cell, workspace: Workspace, seed: int
    ) -> None:
        depth, names = int(cell.parameters["depth"]), int(cell.parameters["names"])
        layers = make_layers(workspace.directory, depth, names)
        self._do, prefix = _CALLS[str(cell.parameters["call"])]
        self._names = [f"{prefix}{name}" for name in file_names(names)]
        random.Random(seed).shuffle(self._names)  # noqa: S311 - reproducible
        self._tree = PresentedTree(target, layers, cell)

    def set_up(self) -> None:
        self._tree.set_up()

    def run_once(self) -> Outcome:
        # One descriptor for the directory, so that no path is walked per name.
        directory = os.open(self._tree.root / SHARED, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return Outcome(operations=self._do(directory, self._names))
        finally:
            os.close(directory)

    def validate(self, outcome: Outcome) -> None:
        if outcome.operations != len(self._names):
            raise InvalidResultError(
                f"{outcome.operations} of {len(self._names)} went as they should"
            )

    def tear_down(self) -> None:
        self._tree.tear_down()

    def close(self) -> None:
        self._tree.close()


def _stat(directory: int, names: Sequence[str]) -> int:
    for name in names:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    return len(names)


def _stat_absent(directory: int, names: Sequence[str]) -> int:
    absent = 0
    for name in names:
        try:
            os.stat(name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            absent += 1
    return absent


def _read(directory: int, names: Sequence[str]) -> int:
    right = 0
    for name in names:
        file = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
        # A file holds its name.
        right += os.read(file, _ENOUGH) == name.encode()
        os.close(file)
    return right


def _list(directory: int, _names: Sequence[str]) -> int:
    with os.scandir(directory) as entries:
        return sum(1 for _ in entries)


def _list_and_stat(directory: int, _names: Sequence[str]) -> int:
    with os.scandir(directory) as entries:
        return sum(entry.stat(follow_symlinks=False).st_size > 0 for entry in entries)


_Call = Callable[[int, Sequence[str]], int]

# Each with what stands before the names of files that exist.
_CALLS: Final[Mapping[str, tuple[_Call, str]]] = MappingProxyType(
    {
        "stat": (_stat, ""),
        "stat-absent": (_stat_absent, "no-"),
        "open-read-close": (_read, ""),
        "list": (_list, ""),
        "list-stat": (_list_and_stat, ""),
    }
)
