"""Writing back what the kernel keeps of one filesystem."""

from __future__ import annotations

import os
from pathlib import Path

from snapfs.syscalls import syncfs


def write_back(directory: Path) -> None:
    """Have what the kernel keeps of a filesystem written, and of no other.

    sync(2) waits for all that are mounted, a stranger's that hangs among them.
    """
    filesystem = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        syncfs(filesystem)
    finally:
        os.close(filesystem)
