"""How long changes take that several processes make at a time."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
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
from snapfs.benchmarks.scenarios import change_client
from snapfs.benchmarks.scenarios.presented import (
    PresentedTree,
    TreeScenario,
    TreeTrial,
)

_CLIENTS: Final = {
    Profile.QUICK: (4,),
    Profile.STANDARD: (1, 4),
    Profile.FULL: (1, 2, 4, 8, 16),
}
_WORK: Final = {
    Profile.QUICK: ("create",),
    Profile.STANDARD: ("create", "copy-up"),
    Profile.FULL: tuple(change_client.WORK),
}
# Of each client.
_FILES: Final = {Profile.QUICK: 50, Profile.STANDARD: 100, Profile.FULL: 200}
_FILES_S: Final = 0.05


class ConcurrentChangeTime(TreeScenario):
    """One tree, just presented, and a directory of it for each client process.

    The clients run before the clock starts. A time is that of one file: where it falls
    as clients are added, they do not wait for each other.
    """

    name = "concurrent_change_time"
    question = "How long do changes take that several processes make at a time?"
    operation = "file"

    def cells(self, profile: Profile) -> Sequence[Cell]:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.cells`."""
        return [
            Cell(
                {"work": work, "clients": clients},
                cache=CacheState.FRESH_UPPER,
                operations=_FILES[profile] * clients,
                runs=2,
                warmups=0,
                expected_s=_FILES_S * clients,
            )
            for work in _WORK[profile]
            for clients in _CLIENTS[profile]
        ]

    def trial(
        self, target: TreeTarget, cell: Cell, workspace: Workspace, seed: int
    ) -> Trial:
        """See :meth:`TreeScenario.trial`."""
        return _Trial(target, cell, workspace)


class _Trial(TreeTrial):
    def __init__(self, target: TreeTarget, cell: Cell, workspace: Workspace) -> None:
        self._work = str(cell.parameters["work"])
        count = int(cell.parameters["clients"])
        self._files = cell.operations // count
        self._lower = workspace.directory / "lower"
        self._folders = [f"c{number}" for number in range(count)]
        for folder in self._folders:
            (self._lower / folder).mkdir(parents=True)
            for number in range(self._files):
                path = self._lower / folder / f"f{number:05d}"
                path.write_bytes(change_client.CONTENT)
        self._cleanup = contextlib.ExitStack()
        self._clients: list[subprocess.Popen[str]] = []
        with contextlib.ExitStack() as undo:
            for _ in self._folders:
                self._clients.append(undo.enter_context(_client()))
            self.tree = PresentedTree(target, [self._lower], cell)
            self._cleanup = undo.pop_all()

    def processes(self) -> Sequence[int]:
        return [client.pid for client in self._clients]

    def run_once(self) -> Outcome:
        pairs = list(zip(self._clients, self._folders, strict=True))
        for client, folder in pairs:
            assert client.stdin is not None
            line = (self._work, str(self.tree.root / folder), str(self._files))
            client.stdin.write("\t".join(line) + "\n")
            client.stdin.flush()
        done = 0
        for client, _ in pairs:
            assert client.stdout is not None
            done += int(client.stdout.readline() or 0)
        return Outcome(operations=done)

    def validate(self, outcome: Outcome) -> None:
        """Read all files, those of the tree and those of the layer."""
        old = change_client.CONTENT
        changed = change_client.CHANGE + old[len(change_client.CHANGE) :]
        upper = changed if self._work == "copy-up" else old
        for folder in self._folders:
            _require_files(self.tree.root / folder, "f", self._files, upper)
            _require_files(self._lower / folder, "f", self._files, old)
            if self._work == "create":
                _require_files(self.tree.root / folder, "n", self._files, old)

    def close(self) -> None:
        self._cleanup.close()
        self.tree.close()


@contextlib.contextmanager
def _client() -> Iterator[subprocess.Popen[str]]:
    """Run a client; it ends as its input does."""
    program = change_client.__file__
    with subprocess.Popen(  # noqa: S603 - a file of this package
        (sys.executable, "-I", "-S", program),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process


def _require_files(directory: Path, first: str, count: int, content: bytes) -> None:
    found = sorted(directory.glob(f"{first}*"))
    if len(found) != count:
        raise InvalidResultError(f"{len(found)} of {count} files are in {directory}")
    for path in found:
        if path.read_bytes() != content:
            raise InvalidResultError(f"{path} holds something else")
