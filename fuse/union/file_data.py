"""Copying the data of a file, and having the copy on the disk before it has a name.

Data are shared, copied in the kernel, or read and written; holes stay holes.

After a power cut the upper must not have a copy without its data. fsync(2) makes sure,
by a commit of the whole journal and a flush of the disk, for each file. Where the name
itself comes to the disk by a journal that has the disk flush its cache first, it is
enough that the data and the blocks that they take are written before the name is made:
the copy is there whole, or not at all, and who wants it to stay calls fsync(2).
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import time
from collections.abc import Callable

from snapfs.light_typing import TYPE_CHECKING, Final
from snapfs.syscalls import write_out

if TYPE_CHECKING:
    from snapfs.fuse.union.layers import Layer

SMALL_FILE: Final = 64 * 1024
"""Up to here one read and one write cost less than any other way."""

QUICK_S: Final = 0.0005
"""What settles faster is awaited by all: a worker costs them a fifth of that anyway."""

# linux/magic.h: ext2, 3 and 4; XFS.
_EXT4: Final = 0xEF53
_XFS: Final = 0x58465342
# XFS_IOC_FSGEOMETRY_V1 of xfs_fs.h, and where its answer has ``rtblocks``.
_GEOMETRY: Final = 0x80705864
_GEOMETRY_BYTES: Final = 112
_RTBLOCKS: Final = struct.Struct("@Q")
_RTBLOCKS_AT: Final = 40

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


class Settler:
    """Settles the data of files of the upper.

    Attributes:
        is_quick: Whether nobody needs to be spared the wait: there is none, or one of
            the last two was short.

    Args:
        upper: Where the copies are.
        is_volatile: Nothing is ever synced.
        clock: Tells seconds.
    """

    __slots__ = (
        "_clock",
        "_has_ordered_journal",
        "_last_was_quick",
        "_syncs",
        "_upper",
        "is_quick",
    )

    def __init__(
        self,
        upper: Layer,
        *,
        is_volatile: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._upper = upper
        self._clock = clock
        self._syncs = not (is_volatile or upper.is_in_memory)
        self.is_quick = not self._syncs
        self._last_was_quick = False
        self._has_ordered_journal: bool | None = None  # looked at when it is needed

    def settle(self, fd: int) -> None:
        """Have all that was written to a new file on the disk before its name.

        Raises:
            OSError: ENOSPC, EDQUOT, EIO: it could not be written.
        """
        if not self._syncs:
            return
        upper = self._upper
        if self._has_ordered_journal is None:
            self._has_ordered_journal = has_ordered_journal(upper)
        start = self._clock()
        if self._has_ordered_journal:
            write_out(fd)
        else:
            os.fsync(fd)
        was_quick = self._clock() - start < QUICK_S and not upper.is_remote
        self.is_quick = was_quick or self._last_was_quick
        self._last_was_quick = was_quick


def has_ordered_journal(layer: Layer) -> bool:
    """Tell whether a name cannot come to the disk without what was written before.

    So it is with ext4, whose transactions are committed one after another by a record
    that goes out with a flush (``jbd2_journal_commit_transaction``), and with XFS
    (``xlog_cil_push_work``). Pages count as written when the transaction has the
    blocks and the size, in both (``ext4_end_io_end``, ``iomap_finish_ioends``).
    """
    if layer.kind == _EXT4:
        return _has_ordered_jbd2(layer.device)
    return layer.kind == _XFS and _has_one_device(layer.root_fd)


def _has_ordered_jbd2(device: int) -> bool:
    """Tell whether ext4 has a journal, on its own device, and no option that hurries.

    ext2, which has none, shows the same type. ``data=writeback`` alone allows
    ``journal_async_commit``, where the record does not wait for a flush.
    """
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        name = os.path.basename(os.readlink(f"/sys/dev/block/{number}"))
        with open(f"/proc/fs/ext4/{name}/options", "rb", buffering=0) as file:
            options = file.read().split(b"\n")
        os.stat(f"/proc/fs/jbd2/{name}-8")  # EXT4_JOURNAL_INO: not of another device
    except OSError:
        return False  # also where a container does not show these files
    return b"data=ordered" in options


def _has_one_device(root_fd: int) -> bool:
    """Tell whether XFS has all data on the device that it flushes: no realtime one."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    try:
        fd = os.open(".", flags, dir_fd=root_fd)
    except OSError:
        return False
    try:
        answer = fcntl.ioctl(fd, _GEOMETRY, bytes(_GEOMETRY_BYTES))
    except OSError:
        return False
    finally:
        os.close(fd)
    blocks: int = _RTBLOCKS.unpack_from(answer, _RTBLOCKS_AT)[0]
    return blocks == 0
