"""Places in a finished layer: reached by open directories, and written to on leave."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator

from snapfs.layer.descriptors import DIRECTORY_FLAGS


@contextlib.contextmanager
def opened_below(top: int, path: bytes) -> Iterator[int]:
    """Open the directory ``path`` below an open one, one component at a time.

    Raises:
        OSError: A component cannot be opened, or is no directory.
    """
    fd = os.dup(top)
    try:
        for name in path.split(b"/") if path else ():
            below = os.open(name, DIRECTORY_FLAGS, dir_fd=fd)
            os.close(fd)
            fd = below
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def unlocked(directory: int) -> Iterator[None]:
    """Let a finished directory be written to; afterwards it is as before."""
    status = os.fstat(directory)
    mode = stat.S_IMODE(status.st_mode)
    is_locked = mode & stat.S_IRWXU != stat.S_IRWXU
    if is_locked:
        os.fchmod(directory, mode | stat.S_IRWXU)
    try:
        yield
    finally:
        if is_locked:
            os.fchmod(directory, mode)
        os.utime(directory, ns=(status.st_atime_ns, status.st_mtime_ns))
