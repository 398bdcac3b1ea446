"""Copying the data of a file: shared, in the kernel, by reading; holes stay holes."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable

from snapfs.light_typing import Final

SMALL_FILE: Final = 64 * 1024
"""Up to here one read and one write cost less than any other way."""

_CHUNK: Final = 8 << 20
"""What is copied between two looks at whether somebody wants it to stop."""
_BUFFER: Final = 1 << 20
_FICLONE: Final = 0x40049409  # linux/fs.h: _IOW(0x94, 9, int)

# What says that another way of copying is needed, not that copying fails.
_NOT_THIS_WAY: Final = frozenset(
    (
        errno.EXDEV,
        errno.EOPNOTSUPP,
        errno.ENOSYS,
        errno.EINVAL,
        errno.ENOTTY,
        errno.EPERM,
        errno.EBADF,
        errno.ETXTBSY,
    )
)


def never() -> bool:
    """Say that nobody asks to stop."""
    return False


class FileCopier:
    """Copies data, and remembers which ways a pair of filesystems lacks."""

    __slots__ = ("_no_clone", "_no_kernel_copy")

    def __init__(self) -> None:
        self._no_clone: set[int] = set()
        self._no_kernel_copy: set[int] = set()

    def copy(
        self,
        source: int,
        status: os.stat_result,
        target: int,
        size: int,
        is_interrupted: Callable[[], bool] = never,
    ) -> None:
        """Copy the first ``size`` bytes of ``source`` into the empty file ``target``.

        Raises:
            OSError: EINTR, ``is_interrupted`` said so; EIO, the source is shorter
                than its ``status``; or from the kernel (ENOSPC, EDQUOT, EIO ...).
        """
        if not size:
            return
        if (
            size == status.st_size
            and status.st_dev not in self._no_clone
            and self._clone(source, status.st_dev, target)
        ):
            return
        is_sparse = status.st_blocks * 512 < status.st_size
        if size <= SMALL_FILE and not is_sparse:
            data = os.pread(source, size, 0)
            if len(data) < size or os.pwrite(target, data, 0) < size:
                _copy_by_reading(source, target, 0, size, never)
            return
        position = 0
        while position < size:
            start, end = (
                _data_extent(source, position, size) if is_sparse else (0, size)
            )
            self._copy_extent(source, status.st_dev, target, start, end, is_interrupted)
            position = end
        # A hole at the end has no byte that would make the file that long.
        os.ftruncate(target, size)

    def _clone(self, source: int, device: int, target: int) -> bool:
        try:
            fcntl.ioctl(target, _FICLONE, source)
        except OSError as error:
            if error.errno not in _NOT_THIS_WAY:
                raise
            self._no_clone.add(device)
            return False
        return True

    def _copy_extent(
        self,
        source: int,
        device: int,
        target: int,
        start: int,
        end: int,
        is_interrupted: Callable[[], bool],
    ) -> None:
        position = start
        if device not in self._no_kernel_copy:
            try:
                while position < end:
                    if is_interrupted():
                        raise InterruptedError(errno.EINTR, "copy-up was interrupted")
                    count = min(end - position, _CHUNK)
                    copied = os.copy_file_range(
                        source, target, count, position, position
                    )
                    if not copied:
                        break  # procfs-like files; reading tells what is so
                    position += copied
            except OSError as error:
                if error.errno not in _NOT_THIS_WAY:
                    raise
                self._no_kernel_copy.add(device)
        _copy_by_reading(source, target, position, end, is_interrupted)


def _data_extent(source: int, position: int, size: int) -> tuple[int, int]:
    """Return the next range of data at or after ``position``, cut at ``size``."""
    try:
        start = os.lseek(source, position, os.SEEK_DATA)
        end = os.lseek(source, start, os.SEEK_HOLE)
    except OSError as error:
        if error.errno == errno.ENXIO:  # nothing but a hole
            return size, size
        if error.errno not in _NOT_THIS_WAY:
            raise
        return position, size
    return min(start, size), min(end, size)


def _copy_by_reading(
    source: int,
    target: int,
    position: int,
    end: int,
    is_interrupted: Callable[[], bool],
) -> None:
    while position < end:
        if is_interrupted():
            raise InterruptedError(errno.EINTR, "copy-up was interrupted")
        data = os.pread(source, min(end - position, _BUFFER), position)
        if not data:
            raise OSError(errno.EIO, "a lower file is shorter than its size")
        position += write_all(target, data, position)


def write_all(fd: int, data: bytes | memoryview, offset: int) -> int:
    """Write ``data`` at ``offset``; return how much, less only before an error.

    Raises:
        OSError: Nothing at all could be written.
    """
    size = len(data)
    written = os.pwrite(fd, data, offset)
    if written == size:
        return size
    view = memoryview(data)
    while written < size:
        try:
            more = os.pwrite(fd, view[written:], offset + written)
        except OSError:
            break  # the caller hears of it at its next write, as write(2) has it
        if not more:
            break
        written += more
    return written
