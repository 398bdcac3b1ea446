"""The priority of work that nobody waits for."""

from __future__ import annotations

import os
from typing import Final

from snapfs.syscalls import IOPRIO_CLASS_IDLE, set_io_priority

_NICE: Final = 19


def give_way() -> None:
    """Let every other process have processors and disks first, for good."""
    os.nice(_NICE)
    set_io_priority(IOPRIO_CLASS_IDLE)
