"""READ, WRITE and what else concerns the contents of files.

Opening costs no message, so there is no handle: a file is found by its node, and
copied up when it is first written to, not when it is opened for writing.
"""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Callable, Mapping
from functools import partial
from struct import Struct

from snapfs.fuse.operations.context import Context, caller_of
from snapfs.fuse.session import Handler, Later, Reply, Request
from snapfs.fuse.union.caller import Caller
from snapfs.fuse.union.node import METACOPY, Node
from snapfs.fuse.union.set_ids import drop_set_ids_if_lost
from snapfs.fuse.wire import FsyncFlag, Opcode, WriteFlag, structs
from snapfs.light_typing import Final

_LARGEST_READ: Final = 1 << 20
"""``fuse_max_pages_limit`` of 256 pages; what is more is read by a worker."""

_UNSHARED: Final = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS

_INLINE_WRITE: Final = 256 << 10
"""What is written at once: it goes to the page cache, faster than to a thread."""

# Not in the page cache; or a filesystem that cannot tell.
_WOULD_WAIT: Final = frozenset((errno.EAGAIN, errno.EOPNOTSUPP))
_DATA_ONLY: Final = int(FsyncFlag.FDATASYNC)
_KILL_SUIDGID: Final = int(WriteFlag.KILL_SUIDGID)
_WRITE_IN: Final = structs.WRITE_IN.size
_range_of: Final = Struct("<8xQI").unpack_from
"""Offset and size of a ``READ_IN``."""
_LARGEST_COPY: Final = 0x7FFFF000
"""``MAX_RW_COUNT``, which also fits the reply of the older operation."""


class DataOperations:
    """The handlers of contents."""

    __slots__ = ("_buffer", "_context", "_data", "_layers", "_union")

    def __init__(self, context: Context) -> None:
        self._context = context
        self._data = context.changes.data
        self._union = context.union
        self._layers = context.union.stack.layers
        # Not touched before it is read into: 256 page faults when a server starts.
        self._buffer = memoryview(mmap.mmap(-1, _LARGEST_READ, flags=_UNSHARED))

    def handlers(self) -> Mapping[Opcode, Handler]:
        """Return the handlers by operation."""
        reading: dict[Opcode, Handler] = {
            Opcode.READ: self.read,
            Opcode.LSEEK: self.seek,
        }
        if self._context.is_read_only:
            return reading
        if not self._context.config.is_volatile:
            # Without them ENOSYS has the kernel not ask again: nothing is synced.
            reading[Opcode.FSYNC] = self.sync
            reading[Opcode.FSYNCDIR] = self.sync
        return {
            **reading,
            Opcode.WRITE: self.write,
            Opcode.FALLOCATE: self.allocate,
            Opcode.COPY_FILE_RANGE: self.copy_range,
            Opcode.COPY_FILE_RANGE_64: self.copy_range_64,
        }

    def read(self, request: Request) -> Reply:
        """Answer with data: what is in memory at once, else from a worker."""
        offset, size = _range_of(request.body)
        context = self._context
        node = context.node(request.nodeid)
        fd = self._data.reader(node)
        if size <= _LARGEST_READ and not context.session.is_working():
            data = self._at_once(node, fd, offset, size)
            if data is not None:
                return data
        if self._layers[node.layer].is_remote:
            far = FarData(os.dup(fd), size, offset)
            return Later(far.reply, node.nodeid, far.fetch)
        return Later(partial(_read, os.dup(fd), size, offset), node.nodeid)

    def _at_once(self, node: Node, fd: int, offset: int, size: int) -> Reply:
        """Return data that need not be waited for; None where some is on the disk."""
        target = self._buffer[:size]
        if self._layers[node.layer].is_in_memory and not node.flags & METACOPY:
            count = os.preadv(fd, (target,), offset)
            if not offset and count < size:
                self._data.was_read_whole(node)
            return target[:count]
        try:
            count = os.preadv(fd, (target,), offset, os.RWF_NOWAIT)
        except OSError as error:
            if error.errno not in _WOULD_WAIT:
                raise
            return None
        # A short answer means the end of the file, not of what is in memory.
        if count == size:
            return target
        if offset + count < self._size_of(node, fd):
            return None
        if not offset:
            self._data.was_read_whole(node)
        return target[:count]

    def _size_of(self, node: Node, fd: int) -> int:
        status = self._union.seen_status(node) if node.layer else None
        return (os.fstat(fd) if status is None else status).st_size

    def write(self, request: Request) -> Reply:
        """Write data; a file of a lower layer is copied up first."""
        body = request.body
        _, offset, size, flags, *_ = structs.WRITE_IN.unpack_from(body)
        node = self._context.node(request.nodeid)
        if size <= _INLINE_WRITE and not self._context.copies_long(node):
            data = body[_WRITE_IN : _WRITE_IN + size]
            return self._write(node, offset, data, _changer(request, flags))
        return Later(partial(self._write_long, node, request.keep()), node.nodeid)

    def _write(
        self, node: Node, offset: int, data: memoryview, changer: Caller | None
    ) -> Reply:
        return structs.WRITE_OUT.pack(
            self._data.write(node, offset, data, changer=changer)
        )

    def _write_long(self, node: Node, request: Request) -> Reply:
        """Write what is much, or after a copy-up; without the lock."""
        context, body = self._context, request.body
        _, offset, size, flags, *_ = structs.WRITE_IN.unpack_from(body)
        data = body[_WRITE_IN : _WRITE_IN + size]
        context.copy_up(node)
        with context.session.lock:
            changer = _changer(request, flags)
            if changer is not None or size <= _INLINE_WRITE:
                return self._write(node, offset, data, changer)
            fd = self._data.duplicate(node, is_writing=True)
        try:
            return structs.WRITE_OUT.pack(self._data.write_apart(fd, offset, data))
        finally:
            os.close(fd)

    def allocate(self, request: Request) -> Reply:
        """Allocate, punch or zero a range."""
        _, offset, length, mode = structs.FALLOCATE_IN.unpack_from(request.body)
        node = self._context.node(request.nodeid)
        caller = caller_of(request)
        change = partial(self._allocate, node, mode, offset, length, caller)
        return self._context.changing(node, change)

    def _allocate(
        self, node: Node, mode: int, offset: int, length: int, caller: Caller
    ) -> Reply:
        self._data.allocate(node, mode, offset, length, changer=caller)
        return b""

    def seek(self, request: Request) -> Reply:
        """Answer with where data or a hole begins."""
        _, offset, whence = structs.LSEEK_IN.unpack_from(request.body)
        node = self._context.node(request.nodeid)
        return structs.LSEEK_OUT.pack(self._data.seek(node, offset, whence))

    def sync(self, request: Request) -> Reply:
        """Have a file or directory on the disk."""
        _, flags = structs.FSYNC_IN.unpack_from(request.body)
        node = self._context.node(request.nodeid)
        job = self._data.sync_job(node, is_data_only=bool(flags & _DATA_ONLY))
        return b"" if job is None else Later(partial(_done, job), node.nodeid)

    def copy_range(self, request: Request) -> Reply:
        """Copy within the layers' filesystem; answer with how much."""
        run = partial(self._copy_range, request.keep(), structs.WRITE_OUT)
        return Later(run, request.nodeid)

    def copy_range_64(self, request: Request) -> Reply:
        """Copy likewise, more than 4 GiB at a time."""
        run = partial(self._copy_range, request.keep(), structs.COPY_FILE_RANGE_OUT)
        return Later(run, request.nodeid)

    def _copy_range(self, request: Request, reply: Struct) -> Reply:
        context = self._context
        body = request.body
        _, start, to, _, offset, size, _ = structs.COPY_FILE_RANGE_IN.unpack_from(body)
        with context.session.lock:
            source, target = context.node(request.nodeid), context.node(to)
        context.copy_up(target)
        with context.session.lock:
            source_fd = self._data.duplicate(source)
            try:
                target_fd = self._data.duplicate(target, is_writing=True)
            except BaseException:
                os.close(source_fd)
                raise
        try:
            size = min(size, _LARGEST_COPY)
            drop_set_ids_if_lost(target_fd, caller_of(request))
            copied = self._data.copy_apart(source_fd, start, target_fd, offset, size)
        finally:
            os.close(source_fd)
            os.close(target_fd)
        return reply.pack(copied)


class FarData:
    """Data of a remote layer: fetched without the lock, then the reply."""

    __slots__ = ("_error", "_fd", "_offset", "_size", "data")

    def __init__(self, fd: int, size: int, offset: int) -> None:
        self._fd = fd
        self._size = size
        self._offset = offset
        self._error: OSError | None = None
        self.data = b""

    def fetch(self) -> None:
        """Read it, and close the descriptor."""
        try:
            self.data = os.pread(self._fd, self._size, self._offset)
        except OSError as error:
            self._error = error
        finally:
            os.close(self._fd)

    def reply(self) -> bytes:
        """Return what was read.

        Raises:
            OSError: From pread(2).
        """
        if self._error is not None:
            raise self._error
        return self.data


def _changer(request: Request, flags: int) -> Caller | None:
    """Return who takes set-id bits away by a write; None where they stay."""
    return caller_of(request) if flags & _KILL_SUIDGID else None


def _read(fd: int, size: int, offset: int) -> Reply:
    try:
        return os.pread(fd, size, offset)
    finally:
        os.close(fd)


def _done(job: Callable[[], None]) -> Reply:
    job()
    return b""
