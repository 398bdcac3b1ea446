"""How long everyday work on a tree takes: git status, compileall, pip install."""

from __future__ import annotations

import abc
import base64
import hashlib
import shutil
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from snapfs.benchmarks import programs
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
from snapfs.benchmarks.scenarios.file_trees import file_paths, make_file_trees
from snapfs.benchmarks.scenarios.presented import (
    PresentedTree,
    TreeScenario,
    TreeTrial,
)
from snapfs.benchmarks.scenarios.spawned import find_program, spawn

_FILES: Final = {Profile.QUICK: 200, Profile.STANDARD: 200, Profile.FULL: 10000}

_WHEEL: Final = "bench-1.0-py3-none-any.whl"
_INFO: Final = "bench-1.0.dist-info"
_IDENTITY: Final = ("-c", "user.name=bench", "-c", "user.email=bench@example.invalid")
_MODULE: Final = (
    'VALUE = {}\n\n\ndef double() -> int:\n    """."""\n    return VALUE * 2\n'
)


class WorkloadTime(TreeScenario):
    """A whole program on a tree that was mounted for this run.

    ``git-status`` on a committed tree, ``compileall`` of Python modules, all in the
    layer below; ``pip-install`` of a local wheel with as many modules.
    """

    name = "workload_time"
    question = "How long does everyday work on a tree take?"
    operation = "command"
    baselines: Sequence[str] = ("plain-directory", "kernel-overlayfs")

    def cells(self, profile: Profile) -> Sequence[Cell]:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.cells`."""
        files = _FILES[profile]
        return [
            Cell(
                {"work": work, "files": files},
                cache=CacheState.FRESH_UPPER,
                runs=1,
                warmups=0,
                expected_s=0.5 + files * 1e-3,
            )
            for work in _WORK
        ]

    def trial(
        self, target: TreeTarget, cell: Cell, workspace: Workspace, seed: int
    ) -> Trial:
        """See :meth:`TreeScenario.trial`."""
        work = _WORK[str(cell.parameters["work"])]
        return work(target, cell, workspace)


class _Work(TreeTrial):
    """A program on a tree of ``files`` in one layer."""

    def __init__(self, target: TreeTarget, cell: Cell, workspace: Workspace) -> None:
        self.files = int(cell.parameters["files"])
        self.directory = workspace.directory
        self.tree = PresentedTree(target, [self.prepare()], cell)

    @abc.abstractmethod
    def prepare(self) -> Path:
        """Make what is needed; return the layer."""

    @abc.abstractmethod
    def words(self) -> Sequence[str]:
        """Return the command for the tree that is shown now."""

    def run_once(self) -> Outcome:
        spawn(self.words(), self.directory / "output")
        return Outcome(operations=1)

    def check_count(self, pattern: str) -> None:
        """Check that as many files as there are modules match ``pattern``."""
        found = sum(1 for _ in self.tree.root.rglob(pattern))
        if found != self.files:
            raise InvalidResultError(f"{found} of {self.files} files are there")


class _GitStatus(_Work):
    def prepare(self) -> Path:
        (layer,) = make_file_trees(self.directory / "layers", 1, self.files)
        git = (find_program("git"), "-C", str(layer), *_IDENTITY)
        programs.run(*git, "init", "--quiet")
        programs.run(*git, "add", ".")
        programs.run(*git, "commit", "--quiet", "--message", "all")
        return layer

    def words(self) -> Sequence[str]:
        root = str(self.tree.root)
        # The repository is another's where owners are mapped.
        safe = ("-c", "safe.directory=*", "-C", root)
        return (find_program("git"), *safe, "status", "--porcelain")

    def validate(self, outcome: Outcome) -> None:
        """Nothing was changed; what is changed now is seen."""
        output = self.directory / "output"
        if output.read_text():
            raise InvalidResultError("git sees changes in a tree that has none")
        (self.tree.root / file_paths(self.files)[0]).write_text("changed")
        spawn(self.words(), output)
        if len(output.read_text().splitlines()) != 1:
            raise InvalidResultError("git does not see the one change")


class _CompileAll(_Work):
    def prepare(self) -> Path:
        layer = self.directory / "layer"
        package = layer / "package"
        package.mkdir(parents=True)
        for number in range(self.files):
            (package / f"m{number:05d}.py").write_text(_MODULE.format(number))
        return layer

    def words(self) -> Sequence[str]:
        return (sys.executable, "-I", "-m", "compileall", "-q", str(self.tree.root))

    def validate(self, outcome: Outcome) -> None:
        self.check_count("*.pyc")


class _PipInstall(_Work):
    def prepare(self) -> Path:
        layer = self.directory / "layer"
        layer.mkdir()
        write_wheel(self.directory / _WHEEL, self.files)
        return layer

    def words(self) -> Sequence[str]:
        flags = ("--no-index", "--no-deps", "--no-compile", "--no-cache-dir", "--quiet")
        target = str(self.tree.root / "site")
        return (
            *(sys.executable, "-I", "-m", "pip", "--disable-pip-version-check"),
            *("install", "--root-user-action=ignore", *flags, "--target", target),
            str(self.directory / _WHEEL),
        )

    def validate(self, outcome: Outcome) -> None:
        self.check_count("site/bench/m*.py")


def write_wheel(wheel: Path, modules: int) -> None:
    """Write a wheel of the package ``bench`` with so many modules (PEP 427)."""
    files = {
        f"bench/m{number:05d}.py": _MODULE.format(number) for number in range(modules)
    }
    files[f"{_INFO}/METADATA"] = "Metadata-Version: 2.1\nName: bench\nVersion: 1.0\n"
    files[f"{_INFO}/WHEEL"] = (
        "Wheel-Version: 1.0\nGenerator: snapfs\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n"
    )
    record = f"{_INFO}/RECORD"
    lines = [f"{name},{_hash(text)},{len(text)}" for name, text in files.items()]
    files[record] = "".join(f"{line}\n" for line in (*lines, f"{record},,"))
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)


def _hash(text: str) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())
    return f"sha256={digest.decode().rstrip('=')}"


_WORK: Final[Mapping[str, Callable[[TreeTarget, Cell, Workspace], Trial]]] = (
    MappingProxyType(
        {
            **({"git-status": _GitStatus} if shutil.which("git") else {}),
            "compileall": _CompileAll,
            "pip-install": _PipInstall,
        }
    )
)
