"""Running a whole command as an operation: no shell, its output to a file or away."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from snapfs.benchmarks.protocols import InvalidResultError
from snapfs.benchmarks.scenarios.command_time import ENVIRONMENT

NOWHERE: Final = Path(os.devnull)


def find_program(name: str) -> str:
    """Return the path of a program.

    Raises:
        InvalidResultError: It is not installed.
    """
    found = shutil.which(name)
    if found is None:
        raise InvalidResultError(f"{name} is not installed")
    return found


def spawn(words: Sequence[str], output: Path = NOWHERE) -> None:
    """Run a command, by its whole path, to its end.

    Raises:
        InvalidResultError: It ended with another status than 0.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(output), flags, 0o600),
    ]
    environment = _environment()
    process = os.posix_spawn(words[0], tuple(words), environment, file_actions=actions)
    _, waited = os.waitpid(process, 0)
    status = os.waitstatus_to_exitcode(waited)
    if status != 0:
        raise InvalidResultError(f"{words[0]} ended with status {status}")


def _environment() -> dict[str, str]:
    return {**ENVIRONMENT, "PATH": os.pathsep.join(os.get_exec_path())}
