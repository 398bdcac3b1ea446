"""How long it takes to create a small file."""

from __future__ import annotations

import os
import shutil
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
from snapfs.benchmarks.scenarios.presented import TreeScenario

_TREE: Final = "file-creation"

# A create takes 3 us in memory and 20 us on disk: blocks should last 0.2 s or more.
# The quick profile cannot wait for that: servers of others take 1 ms.
_FILES: Final = {Profile.QUICK: 200, Profile.STANDARD: 200, Profile.FULL: 2000}
_RUNS: Final = {Profile.QUICK: 2, Profile.STANDARD: 2, Profile.FULL: 5}
_SIZES: Final = {
    Profile.QUICK: (4096,),
    Profile.STANDARD: (0, 4096, 65536),
    Profile.FULL: (0, 512, 4096, 65536),
}


class FileCreation(TreeScenario):
    """open(2) with O_CREAT, write(2) and close(2) of many files in one directory."""

    name = "file_creation_latency"
    question = "How long does it take to create a small file in a directory?"
    operation = "create"
    baselines: Sequence[str] = ("plain-directory",)

    def cells(self, profile: Profile) -> Sequence[Cell]:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.cells`."""
        return [
            Cell(
                {"size_bytes": size},
                cache=CacheState.WARM,
                operations=_FILES[profile],
                runs=_RUNS[profile],
                expected_s=0.05,
            )
            for size in _SIZES[profile]
        ]

    def refuses(self, target: Target) -> str:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.refuses`."""
        return ""

    def trial(
        self, target: TreeTarget, cell: Cell, workspace: Workspace, seed: int
    ) -> Trial:
        """See :meth:`TreeScenario.trial`."""
        return _Trial(target, cell, workspace)


class _Trial(Trial):
    def __init__(self, target: TreeTarget, cell: Cell, workspace: Workspace) -> None:
        self._target = target
        size = int(cell.parameters["size_bytes"])
        self._content = (b"snapfs benchmark" * (size // 16 + 1))[:size]
        lowerdir = workspace.directory / "lower"
        lowerdir.mkdir()
        (lowerdir / "below").write_bytes(b"from the lower directory")
        self._root = target.present([lowerdir], _TREE)
        self._directory = self._root / "new"
        self._names = [f"f{number:06d}" for number in range(cell.operations)]

    def set_up(self) -> None:
        self._directory.mkdir()

    def run_once(self) -> Outcome:
        content = self._content
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        # One descriptor for the directory, so that no path is walked per file.
        directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for name in self._names:
                file = os.open(name, flags, 0o644, dir_fd=directory)
                if content:
                    os.write(file, content)
                os.close(file)
        finally:
            os.close(directory)
        count = len(self._names)
        return Outcome(operations=count, bytes=count * len(content))

    def validate(self, outcome: Outcome) -> None:
        found = sorted(os.listdir(self._directory))
        if found != self._names:
            raise InvalidResultError(
                f"created {len(self._names)} files and found {len(found)}"
            )
        for name in self._names:
            if (self._directory / name).read_bytes() != self._content:
                raise InvalidResultError(f"{name} does not hold what was written")

    def tear_down(self) -> None:
        shutil.rmtree(self._directory)

    def close(self) -> None:
        self._target.dismiss(_TREE)
