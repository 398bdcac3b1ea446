"""How long changes to whole trees take: unpacking, removing and renaming."""

from __future__ import annotations

import dataclasses
import enum
import os
import tarfile
from collections.abc import Callable, Mapping, Sequence
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
from snapfs.benchmarks.scenarios.file_trees import (
    count_files,
    file_paths,
    make_file_trees,
)
from snapfs.benchmarks.scenarios.presented import (
    PresentedTree,
    TreeScenario,
    TreeTrial,
)
from snapfs.benchmarks.scenarios.spawned import find_program, spawn

_FILES: Final = {Profile.QUICK: 500, Profile.STANDARD: 500, Profile.FULL: 60000}
_DEPTH: Final = 2


class TreeChangeTime(TreeScenario):
    """tar(1) -x, rm(1) -rf and rename(2) of each file, on a tree just mounted.

    ``new`` files were written to the tree before: they lie in the upper directory.
    ``lower`` ones lie in the layers: removing them leaves a whiteout, renaming copies
    them up first.
    """

    name = "tree_change_time"
    question = "How long does it take to unpack, remove or rename many files?"
    operation = "file"

    def cells(self, profile: Profile) -> Sequence[Cell]:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.cells`."""
        files = _FILES[profile]
        return [
            Cell(
                {"change": change, "files": files},
                cache=CacheState.FRESH_UPPER,
                operations=files,
                runs=2 if profile is Profile.QUICK else 1,
                warmups=0,
                expected_s=files * 500e-6,
            )
            for change in _CHANGES
        ]

    def trial(
        self, target: TreeTarget, cell: Cell, workspace: Workspace, seed: int
    ) -> Trial:
        """See :meth:`TreeScenario.trial`."""
        return _Trial(target, cell, workspace)


class _Trial(TreeTrial):
    def __init__(self, target: TreeTarget, cell: Cell, workspace: Workspace) -> None:
        self._files = int(cell.parameters["files"])
        self._change = _CHANGES[str(cell.parameters["change"])]
        self._archive = workspace.directory / "archive.tar"
        layers = make_file_trees(workspace.directory / "l", _DEPTH, self._files)
        if self._change.place is not _Place.LOWER:
            _write_archive(self._archive, layers)
            empty = workspace.directory / "empty"
            empty.mkdir()
            layers = [empty]
        self.tree = PresentedTree(target, layers, cell)

    def set_up(self) -> None:
        self.tree.set_up()
        if self._change.place is _Place.NEW:
            _untar(self.tree.root, self._files, self._archive)

    def run_once(self) -> Outcome:
        self._change.make(self.tree.root, self._files, self._archive)
        return Outcome(operations=self._files)

    def validate(self, outcome: Outcome) -> None:
        found = len(list(self.tree.root.glob(f"*/{self._change.left}*")))
        left = count_files(self.tree.root)
        wanted = self._files if self._change.left else 0
        if (found, left) != (wanted, wanted):
            raise InvalidResultError(f"{left} files are there, {found} of them right")


def _write_archive(archive: Path, layers: Sequence[Path]) -> None:
    with tarfile.open(archive, "w") as tar:
        for folder in sorted(os.listdir(layers[0])):
            tar.add(layers[0] / folder, folder, recursive=False)
        for layer in layers:
            for file in sorted(layer.glob("*/*")):
                tar.add(file, file.relative_to(layer))


def _untar(root: Path, _files: int, archive: Path) -> None:
    spawn([find_program("tar"), "-xf", str(archive), "-C", str(root)])


def _remove(root: Path, _files: int, _archive: Path) -> None:
    folders = [str(root / name) for name in os.listdir(root)]
    spawn([find_program("rm"), "-rf", *folders])


def _rename(root: Path, files: int, _archive: Path) -> None:
    for path in file_paths(files):
        folder, _, name = path.partition("/")
        os.rename(root / path, root / folder / f"r{name}")


class _Place(enum.Enum):
    """Where the files are before the change."""

    NOWHERE = enum.auto()
    NEW = enum.auto()
    LOWER = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True)
class _Change:
    """One change: how it is made, and what the files' names begin with afterwards."""

    make: Callable[[Path, int, Path], None]
    place: _Place
    left: str


_CHANGES: Final[Mapping[str, _Change]] = MappingProxyType(
    {
        "untar": _Change(_untar, _Place.NOWHERE, "f"),
        "remove-new": _Change(_remove, _Place.NEW, ""),
        "remove-lower": _Change(_remove, _Place.LOWER, ""),
        "rename-new": _Change(_rename, _Place.NEW, "r"),
        "rename-lower": _Change(_rename, _Place.LOWER, "r"),
    }
)
