"""How long the first change of a file of the layers takes, by its size."""

from __future__ import annotations

import os
import random
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
from snapfs.benchmarks.scenarios.presented import (
    PresentedTree,
    TreeScenario,
    TreeTrial,
    why_no_tree,
)

_KIB: Final = 1 << 10
_MIB: Final = 1 << 20

_SIZES: Final = {
    Profile.QUICK: (4 * _KIB, 64 * _KIB, _MIB, 16 * _MIB),
    Profile.STANDARD: (4 * _KIB, 64 * _KIB, _MIB, 16 * _MIB),
    Profile.FULL: (4 * _KIB, 64 * _KIB, _MIB, 16 * _MIB, 128 * _MIB, 1024 * _MIB),
}
# Files a run: few of the large ones, so that a filesystem holds them many times.
_RUN_BYTES: Final = 16 * _MIB
_MOST_FILES: Final = 100
_CHANGE: Final = b"changed"


class CopyUpLatency(TreeScenario):
    """open(2) for writing, pwrite(2) of a few bytes and close(2) on a new tree.

    Whether the copy is on disk afterwards differs: see the durability of each target.
    The large sizes of the full profile need ``--size-mb``.
    """

    name = "copy_up_latency"
    question = "How long does the first change of a file of the layers take?"
    operation = "copy-up"
    baselines: Sequence[str] = ("kernel-overlayfs",)

    def cells(self, profile: Profile) -> Sequence[Cell]:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.cells`."""
        return [
            Cell(
                {"size_bytes": size},
                cache=CacheState.FRESH_UPPER,
                operations=max(1, min(_MOST_FILES, _RUN_BYTES // size)),
                runs=2,
                warmups=0,
                expected_s=0.3 + size / _MIB * 1e-3,
            )
            for size in _SIZES[profile]
        ]

    def refuses(self, target: Target) -> str:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.refuses`."""
        if target.name == "plain-directory":
            return "it has no layers to copy from"
        return why_no_tree(target)

    def trial(
        self, target: TreeTarget, cell: Cell, workspace: Workspace, seed: int
    ) -> Trial:
        """See :meth:`TreeScenario.trial`."""
        return _Trial(target, cell, workspace, seed)


class _Trial(TreeTrial):
    def __init__(
        self, target: TreeTarget, cell: Cell, workspace: Workspace, seed: int
    ) -> None:
        self._names = [f"f{number:04d}" for number in range(cell.operations)]
        self._size = int(cell.parameters["size_bytes"])
        generator = random.Random(seed)  # noqa: S311 - reproducible, no secret
        self._block = generator.randbytes(min(self._size, _MIB))
        self._lower = workspace.directory / "lower"
        self._lower.mkdir()
        for name in self._names:
            with (self._lower / name).open("wb") as file:
                for _ in range(self._size // len(self._block)):
                    file.write(self._block)
        self.tree = PresentedTree(target, [self._lower], cell)

    def run_once(self) -> Outcome:
        root = self.tree.root
        for name in self._names:
            file = os.open(root / name, os.O_WRONLY | os.O_CLOEXEC)
            os.pwrite(file, _CHANGE, 0)
            os.close(file)
        count = len(self._names)
        return Outcome(operations=count, bytes=count * self._size)

    def validate(self, outcome: Outcome) -> None:
        """Compare the ends of all files, in the tree and in the layer."""
        end = self._block[-len(_CHANGE) :]
        for name in self._names:
            for root, begin in (
                (self.tree.root, _CHANGE),
                (self._lower, self._block[: len(_CHANGE)]),
            ):
                with (root / name).open("rb") as file:
                    head = file.read(len(_CHANGE))
                    length = file.seek(-len(_CHANGE), os.SEEK_END) + len(_CHANGE)
                    tail = file.read()
                if (head, length, tail) != (begin, self._size, end):
                    raise InvalidResultError(f"{root / name} holds something else")
