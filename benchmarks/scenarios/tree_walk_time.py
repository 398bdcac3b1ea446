"""How long programs take that walk a whole tree, and how much memory that costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from snapfs.benchmarks.protocols import (
    CacheState,
    Cell,
    InvalidResultError,
    Outcome,
    Profile,
    TreeTarget,
    Trial,
    Workspace,
)
from snapfs.benchmarks.scenarios.file_trees import NAME_PREFIX, make_file_trees
from snapfs.benchmarks.scenarios.presented import (
    PresentedTree,
    TreeScenario,
    TreeTrial,
)
from snapfs.benchmarks.scenarios.spawned import NOWHERE, find_program, spawn

_DEPTHS: Final = {
    Profile.QUICK: (8,),
    Profile.STANDARD: (1, 8, 64),
    Profile.FULL: (1, 8, 64),
}
_FILES: Final = {Profile.QUICK: 1000, Profile.STANDARD: 2000, Profile.FULL: 50000}
_STATES: Final = {
    Profile.QUICK: (CacheState.WARM, CacheState.FRESH_UPPER),
    Profile.STANDARD: (CacheState.WARM, CacheState.FRESH_UPPER),
    Profile.FULL: (CacheState.WARM, CacheState.FRESH_UPPER, CacheState.COLD),
}
_RUNS: Final = {CacheState.WARM: 3, CacheState.FRESH_UPPER: 2, CacheState.COLD: 1}

_TREE: Final = "TREE"

# tar reads nothing if its archive is /dev/null (its manual, "--totals"), so that it
# writes to a pipe; the shell is started as a part of it.
_COMMANDS: Final[Mapping[str, Sequence[str]]] = MappingProxyType(
    {
        "find": ("find", _TREE, "-printf", "%s %P\\n"),
        "ls": ("ls", "-lR", _TREE),
        "tar": ("sh", "-c", 'tar cf - -C "$0" . | cat', _TREE),
    }
)


class TreeWalkTime(TreeScenario):
    """find(1) with sizes, ls(1) -lR and tar(1) over many small files.

    ``fresh-upper``: the tree was mounted for this run. The memory that results note of
    a target's processes in the ``warm`` cells is what they have after a walk.
    """

    name = "tree_walk_time"
    question = "How long does it take to walk a whole tree?"
    operation = "file"

    def cells(self, profile: Profile) -> Sequence[Cell]:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.cells`."""
        return [
            Cell(
                {"command": command, "depth": depth, "files": _FILES[profile]},
                cache=state,
                operations=_FILES[profile],
                runs=_RUNS[state],
                warmups=1 if state is CacheState.WARM else 0,
                expected_s=_FILES[profile] * 50e-6,
            )
            for state in _STATES[profile]
            for command in _COMMANDS
            for depth in _DEPTHS[profile]
        ]

    def trial(
        self, target: TreeTarget, cell: Cell, workspace: Workspace, seed: int
    ) -> Trial:
        """See :meth:`TreeScenario.trial`."""
        return _Trial(target, cell, workspace)


class _Trial(TreeTrial):
    def __init__(self, target: TreeTarget, cell: Cell, workspace: Workspace) -> None:
        first, *self._rest = _COMMANDS[str(cell.parameters["command"])]
        self._program = find_program(first)
        self._files = int(cell.parameters["files"])
        depth = int(cell.parameters["depth"])
        layers = make_file_trees(workspace.directory, depth, self._files)
        self._output = workspace.directory / "output"
        self.tree = PresentedTree(target, layers, cell)

    def run_once(self) -> Outcome:
        self._walk(NOWHERE)
        return Outcome(operations=self._files)

    def validate(self, outcome: Outcome) -> None:
        """Walk once more, and look at what is written."""
        self._walk(self._output)
        # Names of files are found nowhere else in what the three write.
        found = self._output.read_bytes().count(NAME_PREFIX)
        if found < self._files:
            raise InvalidResultError(f"{found} of {self._files} files were shown")

    def _walk(self, output: Path) -> None:
        root = str(self.tree.root)
        words = [root if word == _TREE else word for word in self._rest]
        spawn([self._program, *words], output)
