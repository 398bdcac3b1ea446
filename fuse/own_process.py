"""What a process of a mount tells the kernel of itself, in /proc/self.

By system calls: the files of ``open`` would touch much memory that was just forked.
"""

from __future__ import annotations

import contextlib
import os


def name_process(name: str) -> None:
    """Have ``ps`` show ``name``."""
    _write("comm", name)


def write_oom_score(score: int) -> None:
    """Say how soon the process is to be killed where memory is short; -1000: never."""
    _write("oom_score_adj", str(score))  # EACCES as an ordinary user


def _write(name: str, text: str) -> None:
    with contextlib.suppress(OSError):
        fd = os.open(f"/proc/self/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)
