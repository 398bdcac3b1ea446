"""What can be found out of a server's death."""

from __future__ import annotations

import errno
import faulthandler
import os
import signal

from snapfs.light_typing import Final

UNMOUNTED: Final = (errno.ENODEV, errno.ECONNABORTED)
_LARGEST: Final = 32 << 10


def open_record() -> int:
    """Return a descriptor of memory in which a fatal signal leaves a traceback."""
    return os.memfd_create("snapfs-fuse-fault", os.MFD_CLOEXEC)


def record_faults(record: int) -> None:
    """Have a fatal signal of this process (SIGSEGV ...) write where it was."""
    os.ftruncate(record, 0)
    os.lseek(record, 0, os.SEEK_SET)
    faulthandler.enable(record)


def describe(code: int, last_words: str, record: int) -> str:
    """Say how a server ended.

    Args:
        code: Its exit status, or minus the signal.
        last_words: The traceback of an exception, if that was it.
        record: What :func:`open_record` returned.
    """
    if code >= 0:
        return f"ended with status {code}: {last_words.strip()}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    trace = os.pread(record, _LARGEST, 0).decode(errors="replace").strip()
    return f"was killed by {name}" + (f": {trace}" if trace else "")
