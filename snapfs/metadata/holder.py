"""Who has a database open: SQLite's locks, as the kernel knows them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct

from snapfs.light_typing import Final
from snapfs.state import LockHolder

# Where SQLite puts its locks, whatever the file's length: PENDING_BYTE, the reserved
# byte and the range of readers (https://www.sqlite.org/fileformat2.html#the_lock_byte_page).
_FIRST_BYTE: Final = 0x40000000
_BYTES: Final = 512

_FLOCK: Final = struct.Struct("hhqqi0q")  # struct flock of fcntl(2)


def database_holder(path: str) -> LockHolder:
    """Return a process that keeps others from the database ``path``.

    Only for a process that has not opened it: closing the file here would drop its own
    locks.
    """
    pid = 0
    with contextlib.suppress(OSError):  # it must only be named
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, _FIRST_BYTE, _BYTES, 0)
            answer = fcntl.fcntl(descriptor, fcntl.F_GETLK, asked)
            kind, *_rest, pid = _FLOCK.unpack(answer)
            if kind == fcntl.F_UNLCK:
                pid = 0  # it has just been closed
        finally:
            os.close(descriptor)
    return LockHolder.of_process(max(pid, 0))  # of a lock without a process it is -1
