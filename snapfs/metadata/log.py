"""The file of SQLite's write-ahead log, and giving it its final size at once."""

from __future__ import annotations

import contextlib
import os

from snapfs.light_typing import Final

# A checkpoint follows the commit that fills this many pages, and the log begins anew
# (https://www.sqlite.org/wal.html#automatic_checkpoint, its default). The file keeps
# its size, as ``journal_size_limit`` is not set.
_CHECKPOINT_PAGES: Final = 1000
_LARGEST_COMMIT_PAGES: Final = 32  # of a verb; it may begin at page 999
_PAGE_BYTES: Final = 4096
_FRAME_HEADER_BYTES: Final = 24  # https://www.sqlite.org/fileformat2.html#the_wal_file
_FINAL_BYTES: Final = 32 + (_CHECKPOINT_PAGES + _LARGEST_COMMIT_PAGES) * (
    _FRAME_HEADER_BYTES + _PAGE_BYTES
)

_SPARE: Final = 16  # a nearly full disk has better uses for its space


def preallocate_log(path: str) -> None:
    """Append zeros to the log ``path`` up to its final size, and sync it.

    SQLite writes after the last valid frame, wherever the file ends, and takes zeros
    for the end of the log: no frame has page number 0. They are written, not only
    allocated: turning an unwritten block into a written one costs the filesystem a
    commit as well. SQLite holds no POSIX lock on the log that closing it would drop;
    the caller keeps writers away meanwhile.

    Where that fails, or would take much of the space that is left, the file is as
    long as before.
    """
    with contextlib.suppress(OSError):  # no space, most likely: the log can grow later
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            _extend(descriptor)
        finally:
            os.close(descriptor)


def _extend(descriptor: int) -> None:
    before = os.fstat(descriptor).st_size
    missing = _FINAL_BYTES - before
    space = os.fstatvfs(descriptor)
    if missing <= 0 or space.f_bavail * space.f_frsize < missing * _SPARE:
        return
    try:
        written = os.pwrite(descriptor, bytes(missing), before)
        if written < missing:
            os.ftruncate(descriptor, before)
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, before)
        raise
