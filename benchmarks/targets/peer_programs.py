"""Where the programs of others lie that targets run: installed, or in ``.cache``.

``scripts/install-peers`` installs what registries of packages have; the rest is
looked for, never fetched.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from snapfs.benchmarks import programs
from snapfs.errors import UnavailableError

# The checkout, if this module lies in one.
_REPOSITORY: Final = Path(__file__).resolve().parents[2]

PEERS: Final = _REPOSITORY / ".cache" / "peers"


def installed(program: str) -> str:
    """Return the path of ``program`` on the search path; "" if there is none."""
    return shutil.which(program) or ""


def in_cache(path: str) -> str:
    """Return the path of a program below ``.cache/peers``; "" if there is none."""
    program = PEERS / path
    return str(program) if program.exists() else ""


def version(*command: str, after: str = "") -> str:
    """Return what follows ``after`` in the line of it that ``command`` prints.

    "" if it prints no such line, or if there is no such program (its path is "").
    """
    if not command[0]:
        return ""
    try:
        lines = programs.run(*command).splitlines()
    except UnavailableError:
        return ""
    found = (line.partition(after)[2] if after else line for line in lines)
    return next((text.strip() for text in found if text.strip()), "")
