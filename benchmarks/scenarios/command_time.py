"""How long a whole command takes over a tree, from its start to its end."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from snapfs.benchmarks.protocols import (
    Cell,
    InvalidResultError,
    Outcome,
    Profile,
    TreeTarget,
    Trial,
    Workspace,
)
from snapfs.benchmarks.scenarios.layers import SHARED, file_names, make_layers
from snapfs.benchmarks.scenarios.presented import TreeScenario

_TREE: Final = "command"
_DEPTH: Final = 8
_FILES: Final = 2000

_FIND: Final = "find"
_GREP: Final = "grep"

# The words of each command before the tree: one only walks, one also reads all.
_COMMANDS: Final[Mapping[str, Sequence[str]]] = {
    _FIND: (_FIND,),
    # No file has this text: every file is read to its end.
    _GREP: (_GREP, "--recursive", "--fixed-strings", "no such text"),
}
# What each ends with: grep found nothing (grep(1), "EXIT STATUS").
_STATUSES: Final[Mapping[str, int]] = {_FIND: 0, _GREP: 1}

_ASKED: Final = {
    Profile.QUICK: (_FIND,),
    Profile.STANDARD: (_FIND, _GREP),
    Profile.FULL: (_FIND, _GREP),
}

# The whole environment of a command: its locale changes how it compares text.
ENVIRONMENT: Final[Mapping[str, str]] = MappingProxyType({"LC_ALL": "C"})

# Enough of what a command prints to show all that it found.
_OUTPUT_LIMIT: Final = 1 << 22


class CommandTime(TreeScenario):
    """posix_spawn(3) of the command to the end of it, without a shell.

    The tree has 8 layers and 2,000 small files; its caches are warm.
    """

    name = "command_time"
    question = "How long does a whole command over the tree take?"
    operation = "command"

    def cells(self, profile: Profile) -> Sequence[Cell]:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.cells`."""
        return [
            Cell(
                {"command": command, "depth": _DEPTH, "files": _FILES},
                runs=5,
                expected_s=0.02,
            )
            for command in _ASKED[profile]
        ]

    def trial(
        self, target: TreeTarget, cell: Cell, workspace: Workspace, seed: int
    ) -> CommandTrial:
        """See :meth:`TreeScenario.trial`."""
        return CommandTrial(target, cell, workspace)


class CommandTrial(Trial):
    """The command on one tree.

    Attributes:
        words: The command, with the whole path of its program: what another
            instrument must run to measure the same.
        status: What it must end with.
    """

    def __init__(self, target: TreeTarget, cell: Cell, workspace: Workspace) -> None:
        self._target = target
        command = str(cell.parameters["command"])
        self._files = int(cell.parameters["files"])
        program = shutil.which(command)
        if program is None:
            raise InvalidResultError(f"{command} is not installed")
        layers = make_layers(
            workspace.directory, int(cell.parameters["depth"]), self._files
        )
        root = target.present(layers, _TREE)
        self.words = (program, *_COMMANDS[command][1:], str(root))
        self.status = _STATUSES[command]
        self._is_listing = command == _FIND
        self._output = workspace.directory / "output"

    def run_once(self) -> Outcome:
        """Run it; its output is discarded, as a peer discards it."""
        return self._run(Path(os.devnull))

    def validate(self, outcome: Outcome) -> None:
        """Run it once more and look at what it prints: every file, or none."""
        self._run(self._output)
        with self._output.open("rb") as file:
            lines = file.read(_OUTPUT_LIMIT).splitlines()
        named = {line.rpartition(b"/")[2].decode() for line in lines}
        wanted = {SHARED, *file_names(self._files)} if self._is_listing else set()
        if missing := wanted - named:
            raise InvalidResultError(f"{len(missing)} names are missing in the output")

    def close(self) -> None:
        """See :meth:`snapfs.benchmarks.protocols.Trial.close`."""
        self._target.dismiss(_TREE)

    def _run(self, output: Path) -> Outcome:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(output), flags, 0o600),
        ]
        process = os.posix_spawn(
            self.words[0], self.words, ENVIRONMENT, file_actions=actions
        )
        _, waited = os.waitpid(process, 0)
        status = os.waitstatus_to_exitcode(waited)
        if status != self.status:
            raise InvalidResultError(f"{self.words[0]} ended with status {status}")
        return Outcome(operations=1)
