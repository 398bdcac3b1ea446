"""How long looking up a name takes, by the number of layers it may be in."""

from __future__ import annotations

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
_RUNS: Final = {CacheState.WARM: 5, CacheState.FRESH_UPPER: 1, CacheState.COLD: 1}
_NAMES: Final = 1000
_STAT: Final = "stat"
_ABSENT: Final = "absent"


class LookupLatency(TreeScenario):
    """stat(2) of names that exist, of names that do not, and a listing.

    ``warm``: the tree's dentries are cached. ``fresh-upper``: the tree is presented
    anew before each run, so its dentries are cold, those of the layers are not.
    ``cold``: nothing is cached at all.
    """

    name = "lookup_latency"
    question = "How long does it take to look up a name below so many layers?"
    operation = "lookup"

    def cells(self, profile: Profile) -> Sequence[Cell]:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.cells`."""
        return [
            _cell(state, lookup, depth)
            for state in _STATES[profile]
            for lookup in _lookups(profile, state)
            for depth in _DEPTHS[profile]
        ]

    def trial(
        self, target: TreeTarget, cell: Cell, workspace: Workspace, seed: int
    ) -> Trial:
        """See :meth:`TreeScenario.trial`."""
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


class _Trial(TreeTrial):
    def __init__(
        self, target: TreeTarget, cell: Cell, workspace: Workspace, seed: int
    ) -> None:
        depth = int(cell.parameters["depth"])
        layers = make_layers(workspace.directory, depth, _NAMES)
        lookup = str(cell.parameters["lookup"])
        self._look_up = _LOOKUPS[lookup]
        self._names = [
            f"no-{name}" if lookup == _ABSENT else name for name in file_names(_NAMES)
        ]
        random.Random(seed).shuffle(self._names)  # noqa: S311 - reproducible
        self.tree = PresentedTree(target, layers, cell)

    def run_once(self) -> Outcome:
        return run_in(self.tree.root / SHARED, self._look_up, self._names)

    def validate(self, outcome: Outcome) -> None:
        require_all(outcome, self._names)


_LOOKUPS: Final[Mapping[str, DoNames]] = MappingProxyType(
    {_STAT: stat_names, _ABSENT: stat_absent_names, "list": list_names}
)
