"""The ballast: space that is given up when a full disk would keep removals out.

A removal writes a few pages before it frees anything. On a disk that is full to the
last block containerd's garbage collection could then never free one. So a store
holds a file that is worth nothing but its blocks, and its inode: opening the database
makes a file, too.
"""

from __future__ import annotations

import contextlib
import os

from snapfs.light_typing import Final
from snapfs.state.paths import StatePaths

# Room for some dozens of transactions in SQLite's log, and the directory blocks of the
# trash.
_SIZE_BYTES: Final = 1 << 20


class Ballast:
    """The ballast file of one store; all methods may be called from any thread."""

    def __init__(self, paths: StatePaths) -> None:
        self._path = paths.ballast

    def take_on(self) -> None:
        """Allocate the ballast if it is not there; without space, do nothing."""
        with contextlib.suppress(OSError):  # a disk that is full, or read-only
            if os.stat(self._path).st_size == _SIZE_BYTES:
                return
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        with contextlib.suppress(OSError):  # likewise; the next removal tries again
            descriptor = os.open(self._path, flags, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, _SIZE_BYTES)
            except OSError:
                os.ftruncate(descriptor, 0)
            finally:
                os.close(descriptor)

    def drop(self) -> bool:
        """Give space and inode up; return whether there was any."""
        dropped = False
        with contextlib.suppress(OSError):  # it was dropped before, most likely
            size = os.stat(self._path).st_size
            os.truncate(self._path, 0)  # needs no new block, unlike unlink(2) on some
            dropped = size > 0
            os.unlink(self._path)
            dropped = True
        return dropped
