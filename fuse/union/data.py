"""The data of files: read where it is, written in the upper only.

Descriptors are kept by node, those for reading and those for writing apart. One for
writing is only ever opened in the upper: there is no code that could open a lower
file so.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import OrderedDict
from collections.abc import Callable

from snapfs import file_syscalls
from snapfs.fuse.union.budget import growing
from snapfs.fuse.union.file_data import write_all
from snapfs.fuse.union.node import METACOPY, Directory, Node
from snapfs.fuse.union.set_ids import Changer, drop_set_ids, drop_set_ids_if_lost
from snapfs.fuse.union.writer import Writer, read_only
from snapfs.light_typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from snapfs.fuse.union.union import Union

DEFAULT_LIMIT: Final = 256
# Not to wait for a writer of what was a file a moment ago: never a fifo's.
_READ: Final = os.O_RDONLY | os.O_NONBLOCK
_WRITE: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class Data:
    """Reads and changes the contents of regular files.

    Each method works under the session's lock. For a long call without it:
    :meth:`duplicate` under the lock, then the call on what it returns.

    Args:
        writer: The parts of changes.
        limit: How many descriptors of each sort to keep open.

    Attributes:
        close_descriptor: Closes what reads; another where close(2) may hang.
    """

    __slots__ = (
        "_is_volatile",
        "_limit",
        "_readers",
        "_union",
        "_writer",
        "_writers",
        "close_descriptor",
    )

    def __init__(self, writer: Writer, limit: int = DEFAULT_LIMIT) -> None:
        self._writer = writer
        self._union: Union = writer.union
        self._limit = max(limit, 2)
        self._is_volatile = writer.union.options.is_volatile
        self._readers: OrderedDict[int, int] = OrderedDict()
        self._writers = self._union.open_files
        self.close_descriptor: Callable[[int], object] = os.close

    # Descriptors.

    def reader(self, node: Node) -> int:
        """Return a descriptor to read ``node``; valid until the next call here.

        Raises:
            OSError: From openat(2).
        """
        nodeid = node.nodeid
        fd = self._writers.get(nodeid)
        if fd is not None:
            self._writers.move_to_end(nodeid)
            return fd
        fd = self._readers.get(nodeid)
        if fd is not None:
            self._readers.move_to_end(nodeid)
            return fd
        fd = self._open_to_read(node)
        self._keep(self._readers, nodeid, fd)
        return fd

    def was_read_whole(self, node: Node) -> None:
        """Close what reads ``node``: the kernel has all of it, and hardly asks again.

        The next file opened is cheaper than with many open.
        """
        fd = self._readers.pop(node.nodeid, None)
        if fd is not None:
            self.close_descriptor(fd)

    def has_reader(self, node: Node) -> bool:
        """Say whether :meth:`reader` has nothing to open."""
        return node.nodeid in self._writers or node.nodeid in self._readers

    def _open_to_read(self, node: Node) -> int:
        # Reading sets no access time, as on kernel overlayfs with noatime.
        try:
            return self._union.open_data(node, _READ | os.O_NOATIME)
        except PermissionError:  # of another owner, to whom CAP_FOWNER does not reach
            return self._union.open_data(node, _READ)

    def writer(self, node: Node) -> int:
        """Return a descriptor to change ``node``, copied up if need be.

        Raises:
            OSError: EROFS; or from copying up and openat(2).
        """
        fd = self._writers.get(node.nodeid)
        if fd is not None:
            self._writers.move_to_end(node.nodeid)
            return fd
        if self._writer.is_readonly:
            raise read_only()
        if node.layer or node.flags & METACOPY:
            self._writer.copy_up.copy_up(node)
            fd = self._writers.get(node.nodeid)
            if fd is not None:
                return fd
        fd = self._open_upper(node)
        self._keep(self._writers, node.nodeid, fd)
        reader = self._readers.pop(node.nodeid, None)
        if reader is not None:
            self.close_descriptor(reader)
        return fd

    def keep_writer(self, node: Node, fd: int) -> None:
        """Take over a descriptor that was opened to change ``node``, just made."""
        self._keep(self._writers, node.nodeid, fd)

    def _open_upper(self, node: Node) -> int:
        if node.layer:  # cannot be; and if it were, no lower file may be written
            raise OSError(errno.EIO, "a lower file was about to be changed", node.name)
        dir_fd, name = self._union.place(node)
        for flags in (_WRITE | os.O_NOATIME, _WRITE):
            try:
                return os.open(name, flags, dir_fd=dir_fd)
            except PermissionError:
                continue
        return self._force_open(dir_fd, name)

    def _force_open(self, dir_fd: int, name: bytes) -> int:
        """Open a file of ours whose mode forbids it; the kernel has let the caller.

        Without CAP_DAC_OVERRIDE that is so for a file made with mode 0444.
        """
        mode = os.stat(name, dir_fd=dir_fd, follow_symlinks=False).st_mode
        os.chmod(name, stat.S_IMODE(mode) | 0o600, dir_fd=dir_fd)
        try:
            return os.open(name, _WRITE, dir_fd=dir_fd)
        finally:
            os.chmod(name, stat.S_IMODE(mode), dir_fd=dir_fd)

    def duplicate(self, node: Node, *, is_writing: bool = False) -> int:
        """Return a descriptor of the caller's own, for use without the lock.

        Raises:
            OSError: As :meth:`reader` or :meth:`writer`.
        """
        return os.dup(self.writer(node) if is_writing else self.reader(node))

    def _keep(self, fds: OrderedDict[int, int], nodeid: int, fd: int) -> None:
        fds[nodeid] = fd
        if len(fds) > self._limit:
            self.close_descriptor(fds.popitem(last=False)[1])

    def node_copied(self, node: Node) -> None:
        """Stop reading from the lower file that a node was."""
        fd = self._readers.pop(node.nodeid, None)
        if fd is not None:
            self.close_descriptor(fd)

    def drop(self, node: Node) -> None:
        """Close what is open of a node."""
        for fds in (self._readers, self._writers):
            fd = fds.pop(node.nodeid, None)
            if fd is not None:
                self.close_descriptor(fd)

    def close(self) -> None:
        """Close all descriptors."""
        for fds in (self._readers, self._writers):
            for fd in fds.values():
                os.close(fd)
            fds.clear()

    # Contents.

    def read(self, node: Node, offset: int, size: int) -> bytes:
        """Return up to ``size`` bytes; fewer at the end of the file only.

        Raises:
            OSError: From pread(2).
        """
        return os.pread(self.reader(node), size, offset)

    def write(
        self,
        node: Node,
        offset: int,
        data: bytes | memoryview,
        *,
        changer: Changer | None = None,
    ) -> int:
        """Write ``data``; return how much was written, less only before an error.

        ``changer``: who takes set-id bits away by it, if anybody.

        Raises:
            OSError: EROFS, ENOSPC, EFBIG, EDQUOT, EIO; or from copying up.
        """
        fd = self.writer(node)
        if changer is not None:
            drop_set_ids(fd, changer)
        return self.write_apart(fd, offset, data)

    def write_apart(self, fd: int, offset: int, data: bytes | memoryview) -> int:
        """Write to a descriptor that :meth:`duplicate` gave; the lock is not needed.

        Raises:
            OSError: ENOSPC, EFBIG, EDQUOT, EIO.
        """
        if self._union.budget is None:
            return write_all(fd, data, offset)
        with self._union.budget.growing(fd, offset, len(data)):
            return write_all(fd, data, offset)

    def copy_apart(
        self, source: int, offset: int, target: int, target_offset: int, size: int
    ) -> int:
        """Copy between two such descriptors; return how much was copied.

        Raises:
            OSError: As :meth:`copy_range`.
        """
        if self._union.budget is not None:
            size = min(size, max(0, os.fstat(source).st_size - offset))
        with growing(self._union.budget, target, target_offset, size):
            return os.copy_file_range(source, target, size, offset, target_offset)

    def truncate(
        self, node: Node, size: int, *, changer: Changer | None = None
    ) -> None:
        """Set the length of a file; of a lower one only what stays is copied.

        ``changer``: who takes set-id bits away by it, if anybody.

        Raises:
            OSError: EROFS, EFBIG, ENOSPC ...; or from copying up.
        """
        if self._writer.is_readonly:
            raise read_only()
        if node.layer:
            self._writer.copy_up.copy_up(node, truncate_to=size)
        fd = self.writer(node)
        if changer is not None:
            drop_set_ids(fd, changer)
        os.ftruncate(fd, size)
        if self._union.budget is not None:
            self._union.budget.note_freed()

    def allocate(
        self,
        node: Node,
        mode: int,
        offset: int,
        length: int,
        *,
        changer: Changer | None = None,
    ) -> None:
        """Allocate, punch or zero a range: fallocate(2) with ``FALLOC_FL_*``.

        ``changer``: who asks, and takes set-id bits away by it without CAP_FSETID.

        Raises:
            OSError: EOPNOTSUPP, the filesystem cannot; EROFS, ENOSPC ...
        """
        fd = self.writer(node)
        if changer is not None:
            drop_set_ids_if_lost(fd, changer)
        frees = mode & file_syscalls.FALLOC_FL_PUNCH_HOLE
        with growing(self._union.budget, fd, offset, 0 if frees else length):
            file_syscalls.fallocate(fd, mode, offset, length)

    def copy_range(
        self, source: Node, offset: int, target: Node, target_offset: int, size: int
    ) -> int:
        """Copy between two files in the kernel; return how much was copied.

        Raises:
            OSError: EXDEV, EOPNOTSUPP: the kernel will have the data read and written;
                EROFS, ENOSPC ...
        """
        target_fd = self.writer(target)
        source_fd = self.reader(source)
        return self.copy_apart(source_fd, offset, target_fd, target_offset, size)

    def seek(self, node: Node, offset: int, whence: int) -> int:
        """Find data or a hole: ``SEEK_DATA`` or ``SEEK_HOLE`` from ``offset`` on.

        Raises:
            OSError: ENXIO, there is none; EINVAL, another ``whence``.
        """
        if whence not in (os.SEEK_DATA, os.SEEK_HOLE):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return os.lseek(self.reader(node), offset, whence)

    def sync(self, node: Node, *, is_data_only: bool = False) -> None:
        """Have an upper file or directory on the disk; a lower one always is.

        Raises:
            OSError: From fsync(2).
        """
        job = self.sync_job(node, is_data_only=is_data_only)
        if job is not None:
            job()

    def sync_job(
        self, node: Node, *, is_data_only: bool = False
    ) -> Callable[[], None] | None:
        """Return what syncs ``node`` without the lock, None where nothing has to.

        It must be called once: it holds a descriptor.

        Raises:
            OSError: From opening it.
        """
        if self._is_volatile or node.layer or self._writer.is_readonly:
            return None
        if isinstance(node, Directory):
            if not node.has_upper:
                return None
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
            fd = os.open(b".", flags, dir_fd=self._union.directory_fd(node, 0))
        elif node.kind != stat.S_IFREG:
            return None
        else:
            fd = self.duplicate(node)

        def job() -> None:
            try:
                (os.fdatasync if is_data_only else os.fsync)(fd)
            finally:
                os.close(fd)

        return job
