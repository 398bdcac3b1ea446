"""How long looking up a name takes, by the number of layers it may be in."""

from __future__ import annotations

import contextlib
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
from snapfs.benchmarks.scenarios.presented import why_no_tree

_DEPTHS: Final = {
    Profile.QUICK: (1, 8, 32, 128),
    Profile.STANDARD: (1, 8, 32, 128),
    Profile.FULL: (1, 2, 8, 32, 128, 500),
}
_STATES: Final = {
    Profile.QUICK: (CacheState.WARM, CacheState.FRESH_UPPER),
    Profile.STANDARD: (CacheState.WARM, CacheState.FRESH_UPPER),
    Profile.FULL: (CacheState.WARM, CacheState.FRESH_UPPER, CacheState.COLD),
}
# Presenting a tree anew unmounts the last one, which syncs its filesystem.
_RUNS: Final = {CacheState.WARM: 5, CacheState.FRESH_UPPER: 2, CacheState.COLD: 1}
_NAMES: Final = 1000
_STAT: Final = "stat"
_ABSENT: Final = "absent"


class LookupLatency:
    """stat(2) of names that exist, of names that do not, and a listing.

    ``warm``: the tree's dentries are cached. ``fresh-upper``: the tree is presented
    anew before each run, so its dentries are cold, those of the layers are not.
    ``cold``: nothing is cached at all.
    """

    name = "lookup_latency"
    question = "How long does it take to look up a name below so many layers?"
    family = Family.TREE
    operation = "lookup"
    baselines: Sequence[str] = ("kernel-overlayfs", "plain-directory")

    def cells(self, profile: Profile) -> Sequence[Cell]:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.cells`."""
        return [
            _cell(state, lookup, depth)
            for state in _STATES[profile]
            for lookup in _lookups(profile, state)
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


def _lookups(profile: Profile, state: CacheState) -> Sequence[str]:
    """Return all; in the quick profile one stands for those of a tree made anew."""
    is_short = profile is Profile.QUICK and state is not CacheState.WARM
    return (_STAT,) if is_short else tuple(_LOOKUPS)


def _cell(state: CacheState, lookup: str, depth: int) -> Cell:
    return Cell(
        {"lookup": lookup, "depth": depth, "names": _NAMES},
        cache=state,
        operations=_NAMES,
        runs=_RUNS[state],
        expected_s=0.01 if state is CacheState.WARM else 0.05,
    )


class _Trial(Trial):
    def __init__(
        self, target: TreeTarget, cell: Cell, workspace: Workspace, seed: int
    ) -> None:
        self._target = target
        self._is_presented_anew = cell.cache is CacheState.FRESH_UPPER
        self._layers = make_layers(
            workspace.directory, int(cell.parameters["depth"]), _NAMES
        )
        lookup = str(cell.parameters["lookup"])
        self._look_up = _LOOKUPS[lookup]
        self._names = [
            f"no-{name}" if lookup == _ABSENT else name for name in file_names(_NAMES)
        ]
        random.Random(seed).shuffle(self._names)  # noqa: S311 - reproducible
        self._presented = 0
        self._name = ""
        self._directory = workspace.directory
        if not self._is_presented_anew:
            self._present()

    def set_up(self) -> None:
        if self._is_presented_anew:
            self._present()

    def run_once(self) -> Outcome:
        # One descriptor for the directory, so that no path is walked per name.
        directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return Outcome(operations=self._look_up(directory, self._names))
        finally:
            os.close(directory)

    def validate(self, outcome: Outcome) -> None:
        if outcome.operations != _NAMES:
            raise InvalidResultError(
                f"{outcome.operations} of {_NAMES} lookups went as they should"
            )

    def tear_down(self) -> None:
        if self._is_presented_anew:
            self._dismiss()

    def close(self) -> None:
        self._dismiss()

    def _present(self) -> None:
        self._presented += 1
        name = f"lookup{self._presented}"
        self._directory = self._target.present(self._layers, name) / SHARED
        self._name = name

    def _dismiss(self) -> None:
        if self._name:
            self._target.dismiss(self._name)
            self._name = ""


def _stat_all(directory: int, names: Sequence[str]) -> int:
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


def _list(directory: int, _names: Sequence[str]) -> int:
    with contextlib.closing(os.scandir(directory)) as entries:
        return sum(1 for _ in entries)


_LOOKUPS: Final[Mapping[str, Callable[[int, Sequence[str]], int]]] = MappingProxyType(
    {_STAT: _stat_all, _ABSENT: _stat_absent, "list": _list}
)
