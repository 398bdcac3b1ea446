"""Removing the control groups that containers leave behind."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

_CGROUPS: Final = Path("/sys/fs/cgroup")

# Far above what a loaded machine needs for the end of a process.
_TIMEOUT_S: Final = 60.0
_POLL_S: Final = 0.02


def remove_cgroups(name: str) -> None:
    """Remove the parent of the containers' cgroups, which runc made and leaves."""
    hierarchies = [_CGROUPS, *(each for each in _CGROUPS.iterdir() if each.is_dir())]
    for hierarchy in hierarchies:
        for folder, _, _ in os.walk(f"{hierarchy}{name}", topdown=False):
            deadline = time.monotonic() + _TIMEOUT_S
            # Its last process may still be on its way out: EBUSY until then.
            while not _is_removed(Path(folder)) and time.monotonic() < deadline:
                time.sleep(_POLL_S)


def _is_removed(cgroup: Path) -> bool:
    try:
        cgroup.rmdir()
    except OSError:
        return not cgroup.exists()
    return True
