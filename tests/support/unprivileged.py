"""``snapfs`` as a user without any privilege runs it."""

from __future__ import annotations

import os
import shutil
import site
import sys
from pathlib import Path
from typing import Final

import pytest

from support.command import Command

NOBODY: Final = 65534


def as_nobody(root: Path) -> Command:
    """Return the command of another user, in place of root, on ``root``.

    ``root`` must lie where all users get, which pytest's own directories do not.
    """
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv(1) is not installed")
    command = Command(root)
    command.words = [
        *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--"),
        *(_open_interpreter(), *command.words[1:]),
    ]
    command.environment["PYTHONPATH"] = os.pathsep.join(
        [command.environment["PYTHONPATH"], *site.getsitepackages()]
    )
    return command


def _open_interpreter() -> str:
    """Return an interpreter of our version that any user can start."""
    usual = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    for program in (sys.executable, usual):
        real = Path(os.path.realpath(program))
        modes = [path.stat().st_mode for path in (real, *real.parents) if path.exists()]
        if real.exists() and all(mode & 0o001 for mode in modes):
            return program
    pytest.skip("every interpreter here is closed to other users")
