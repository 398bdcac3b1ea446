"""Serve one file over FUSE, and write down every write and flush of it, in order.

``python -m support.recording_server TARGET IMAGE LOG`` shows IMAGE as ``TARGET/disk``
and prints "ready". A loop device over that file is a disk whose every write is known:
see ``support.recorded_disk``, which also says what the log looks like.
"""

from __future__ import annotations

import errno
import os
import stat
import sys

from snapfs.fuse.session import (
    Handler,
    MountOptions,
    Reply,
    Request,
    Session,
    forget_handlers,
    mount,
)
from snapfs.fuse.wire import (
    FAST_FLAGS,
    OPCODE_COUNT,
    ROOT_ID,
    InitFlag,
    Opcode,
    Wishes,
)
from snapfs.fuse.wire import structs as wire
from support.recorded_disk import DISK, FLUSH, RECORD, WRITE

_FOREVER_S = 1 << 30
_NODE = 2


class RecordedFile:
    """The handlers of a filesystem with one file."""

    def __init__(self, image: int, log: int) -> None:
        self._image = image
        self._log = log
        self._size = os.fstat(image).st_size
        self.handlers: list[Handler | None] = [None] * OPCODE_COUNT
        self.handlers[Opcode.LOOKUP] = self.lookup
        self.handlers[Opcode.GETATTR] = self.get_attributes
        self.handlers[Opcode.SETATTR] = self.get_attributes  # times: nobody asks
        self.handlers[Opcode.READ] = self.read
        self.handlers[Opcode.WRITE] = self.write
        self.handlers[Opcode.FSYNC] = self.flush
        for opcode, handler in forget_handlers(lambda _nodeid, _count: None).items():
            self.handlers[opcode] = handler

    def _attributes(self, nodeid: int) -> tuple[int, ...]:
        mode, size = stat.S_IFDIR | 0o755, 0
        if nodeid == _NODE:
            mode, size = stat.S_IFREG | 0o600, self._size
        return (nodeid, size, size // 512, *[0] * 6, mode, 1, 0, 0, 0, 4096, 0)

    def lookup(self, request: Request) -> Reply:
        if bytes(request.body[:-1]) != DISK.encode():
            return -errno.ENOENT
        valid = (_FOREVER_S, _FOREVER_S, 0, 0)
        return wire.ENTRY_ATTR.pack(_NODE, 0, *valid, *self._attributes(_NODE))

    def get_attributes(self, request: Request) -> Reply:
        return wire.ATTR_OUT.pack(_FOREVER_S, 0, *self._attributes(request.nodeid))

    def read(self, request: Request) -> Reply:
        _, offset, size, *_ = wire.READ_IN.unpack_from(request.body)
        return os.pread(self._image, size, offset)

    def write(self, request: Request) -> Reply:
        _, offset, size, *_ = wire.WRITE_IN.unpack_from(request.body)
        data = request.body[wire.WRITE_IN.size : wire.WRITE_IN.size + size]
        os.writev(self._log, [RECORD.pack(WRITE, offset, size), data])
        os.pwrite(self._image, data, offset)
        return wire.WRITE_OUT.pack(size)

    def flush(self, _request: Request) -> Reply:
        os.write(self._log, RECORD.pack(FLUSH, 0, 0))
        return b""


def main(target: str, image: str, log: str) -> None:
    """Serve until the filesystem is unmounted."""
    image_fd = os.open(image, os.O_RDWR)
    log_fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    filesystem = RecordedFile(image_fd, log_fd)
    wishes = Wishes(flags=FAST_FLAGS & ~InitFlag.DO_READDIRPLUS)
    connection = mount(os.fsencode(target), MountOptions())
    session = Session(connection, filesystem.handlers, wishes=wishes)
    print("ready", flush=True)
    session.run()


if __name__ == "__main__":
    assert ROOT_ID != _NODE
    main(*sys.argv[1:])
