"""The content of an open file, holes read as zeros without reading them."""

from __future__ import annotations

import errno
import os
from typing import Final

from snapfs.errors import FailedPreconditionError
from snapfs.layer.written import PlainOutput
from snapfs.tar.member import shown

FILE_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""To open what was a file a moment ago; a FIFO in its place blocks nobody."""

_BLOCK_BYTES: Final = 512  # of st_blocks, whatever the filesystem's are


class FileBody:
    """A file that is read once; see :class:`snapfs.layer.written.Body`.

    Args:
        fd: Open for reading, at position 0; it stays the caller's.
        status: Of the file, from before.
        path: For messages.
    """

    __slots__ = ("_fd", "_path", "_status")

    def __init__(self, fd: int, status: os.stat_result, path: bytes) -> None:
        self._fd = fd
        self._status = status
        self._path = path

    def write_to(self, out: PlainOutput, size_bytes: int) -> None:
        """See :class:`snapfs.layer.written.Body`."""
        is_sparse = self._status.st_blocks * _BLOCK_BYTES < size_bytes
        if is_sparse:
            self._write_extents(out, size_bytes)
        elif out.read_from(self._fd, size_bytes) != size_bytes:
            raise self._changed()
        now = os.fstat(self._fd)
        if _version(now) != _version(self._status) or now.st_size != size_bytes:
            raise self._changed()

    def _write_extents(self, out: PlainOutput, size_bytes: int) -> None:
        at = 0
        while at < size_bytes:
            start = min(self._seek(at, os.SEEK_DATA, size_bytes), size_bytes)
            out.write_zeros(start - at)
            at = min(self._seek(start, os.SEEK_HOLE, size_bytes), size_bytes)
            os.lseek(self._fd, start, os.SEEK_SET)
            if out.read_from(self._fd, at - start) != at - start:
                raise self._changed()

    def _seek(self, at: int, whence: int, size_bytes: int) -> int:
        try:
            return os.lseek(self._fd, at, whence)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole is left
                return size_bytes
            raise

    def _changed(self) -> FailedPreconditionError:
        return FailedPreconditionError(
            f"file {shown(self._path)} changed while it was read; stop what writes to"
            " it and try again"
        )


def _version(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns
