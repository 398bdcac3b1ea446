"""Blobs through pipes: from sources that have no file to a worker."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import Final

from snapfs.image.source import BlobReader

# What an unprivileged process may ask for (/proc/sys/fs/pipe-max-size).
_PIPE_BYTES: Final = 1 << 20


class PipeReader:
    """The reading end of a pipe, as a BlobReader."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self, size_bytes: int, /) -> bytes:
        """Return up to ``size_bytes`` further bytes; b"" when the writer is done."""
        return os.read(self._descriptor, size_bytes)

    def close(self) -> None:
        """Close the pipe; it may be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def wide_pipe() -> tuple[int, int]:
    """Return a pipe that holds as much as the system lets us ask for."""
    reading, writing = os.pipe()
    with contextlib.suppress(OSError):  # a user's pipes may be used up: slower
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return reading, writing


def pump(blob: BlobReader, writing: int) -> None:
    """Write a whole blob into a pipe.

    Raises:
        BrokenPipeError: The reader is gone.
        SnapfsError: The blob's source failed.
    """
    while piece := blob.read(_PIPE_BYTES):
        view = memoryview(piece)
        while view:
            view = view[os.write(writing, view) :]
