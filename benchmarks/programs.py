"""Running the programs that the instrument itself needs (mount, mkfs, perf)."""

from __future__ import annotations

import subprocess
from pathlib import Path

from snapfs.errors import UnavailableError


def run(*command: str, directory: Path | None = None) -> str:
    """Run a program of the search path; return its standard output.

    ``directory``: where it runs; by default here.

    Raises:
        UnavailableError: It is not installed, or it failed.
    """
    try:
        return try_to_run(*command, must_succeed=True, directory=directory).stdout
    except FileNotFoundError as error:
        raise UnavailableError(f"{command[0]} is not installed") from error
    except subprocess.CalledProcessError as error:
        words = f"{' '.join(command)}: {error.stderr.strip()}"
        raise UnavailableError(words) from error


def try_to_run(
    *command: str, must_succeed: bool = False, directory: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program of the search path, which may fail.

    Raises:
        FileNotFoundError: It is not installed.
        CalledProcessError: It failed although it must succeed.
    """
    return subprocess.run(  # noqa: S603  # fixed programs, no shell
        command, capture_output=True, text=True, check=must_succeed, cwd=directory
    )
