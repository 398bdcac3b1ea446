"""How long a new writable tree takes, by what the layers hold."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from snapfs.benchmarks.protocols import (
    CacheState,
    Cell,
    InvalidResultError,
    Outcome,
    Profile,
    Target,
    TreeTarget,
    Trial,
    Workspace,
)
from snapfs.benchmarks.scenarios.file_trees import count_files, make_file_trees
from snapfs.benchmarks.scenarios.presented import TreeScenario

_FILES: Final = {
    Profile.QUICK: (1000,),
    Profile.STANDARD: (100, 1000, 4000),
    Profile.FULL: (100, 1000, 10_000, 100_000),
}
_DEPTH: Final = 4
_SIZE_BYTES: Final = 4096

# A guess of what the slowest way, a copy, takes for each file.
_COPY_S: Final = 100e-6


class TreePreparation(TreeScenario):
    """From layers that exist to a tree that answers and can be written to.

    Directories of its own, links, copies, servers, mounts: all that a target does for
    a new tree is timed. A union does the same for any layers; a copy goes through them.
    """

    name = "tree_preparation"
    question = "How long does it take until the layers are there as a writable tree?"
    operation = "tree"

    def cells(self, profile: Profile) -> Sequence[Cell]:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.cells`."""
        return [
            Cell(
                {"files": files, "depth": _DEPTH},
                cache=CacheState.FRESH_UPPER,
                runs=2,
                expected_s=0.05 + files * _COPY_S,
            )
            for files in _FILES[profile]
        ]

    def refuses(self, target: Target) -> str:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.refuses`."""
        return "" if isinstance(target, TreeTarget) else "it presents no tree"

    def trial(
        self, target: TreeTarget, cell: Cell, workspace: Workspace, seed: int
    ) -> Trial:
        """See :meth:`TreeScenario.trial`."""
        return _Trial(target, cell, workspace)


class _Trial(Trial):
    def __init__(self, target: TreeTarget, cell: Cell, workspace: Workspace) -> None:
        self._target = target
        self._files = int(cell.parameters["files"])
        depth = int(cell.parameters["depth"])
        self._layers = make_file_trees(
            workspace.directory, depth, self._files, _SIZE_BYTES
        )
        self._made = 0
        self._shown = ""

    def set_up(self) -> None:
        self._made += 1

    def run_once(self) -> Outcome:
        name = f"tree{self._made}"
        root = self._target.present(self._layers, name)
        self._shown = name
        os.stat(root)
        self._root = root
        return Outcome(operations=1)

    def validate(self, outcome: Outcome) -> None:
        """Count the files, and write one."""
        found = count_files(self._root)
        if found != self._files:
            raise InvalidResultError(f"{found} of {self._files} files are there")
        (self._root / "new").write_bytes(b"new")

    def tear_down(self) -> None:
        if self._shown:
            self._target.dismiss(self._shown)
            self._shown = ""
