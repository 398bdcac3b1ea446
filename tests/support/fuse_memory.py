"""A tiny filesystem in memory, served over a real FUSE mount by this process.

One flat directory of files. What a test wants to be slow, wrong or counted it
changes in ``handlers`` before :func:`served`.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
    Negotiated,
    Opcode,
    SetattrValid,
    Wishes,
)
from snapfs.fuse.wire import structs as wire

FOREVER_S = 1 << 30
DT_REG = 8
WISHES = Wishes(flags=FAST_FLAGS & ~InitFlag.DO_READDIRPLUS)
"""Without READDIRPLUS, which the filesystem does not have."""


class MemoryFilesystem:
    """Files by name, their handlers, and what the kernel asked.

    Node ids are the position of a name in ``names``, from 2 on, and stay. ``valid_s``
    is how long the kernel may keep names and attributes.
    """

    def __init__(self, files: dict[bytes, bytes], *, valid_s: int = FOREVER_S) -> None:
        self.names = list(files)
        self.data = [bytearray(content) for content in files.values()]
        self.valid_s = valid_s
        self.looked_up: list[bytes] = []
        self.forgotten: list[int] = []
        self._gates: list[threading.Event] = []
        self.handlers: list[Handler | None] = [None] * OPCODE_COUNT
        self.handlers[Opcode.LOOKUP] = self.lookup
        self.handlers[Opcode.GETATTR] = self.get_attributes
        self.handlers[Opcode.SETATTR] = self.set_attributes
        self.handlers[Opcode.READ] = self.read
        self.handlers[Opcode.WRITE] = self.write
        self.handlers[Opcode.UNLINK] = self.unlink
        self.handlers[Opcode.READDIR] = self.list
        forgets = forget_handlers(lambda nodeid, _n: self.forgotten.append(nodeid))
        for opcode, handler in forgets.items():
            self.handlers[opcode] = handler

    def nodeid(self, name: bytes) -> int:
        return self.names.index(name) + 2

    def gate(self) -> threading.Event:
        """Return an event that is set at the latest when serving ends."""
        gate = threading.Event()
        self._gates.append(gate)
        return gate

    def open_gates(self) -> None:
        for gate in self._gates:
            gate.set()

    def attributes(self, nodeid: int) -> tuple[int, ...]:
        mode, size = stat.S_IFDIR | 0o755, 0
        if nodeid != ROOT_ID:
            mode, size = stat.S_IFREG | 0o666, len(self.data[nodeid - 2])
        return (
            nodeid,
            size,
            0,
            *[0] * 6,
            mode,
            1,
            os.getuid(),
            os.getgid(),
            0,
            4096,
            0,
        )

    def lookup(self, request: Request) -> Reply:
        name = bytes(request.body[:-1])
        self.looked_up.append(name)
        if name not in self.names:
            return -errno.ENOENT
        nodeid, valid = self.nodeid(name), self.valid_s
        found = self.attributes(nodeid)
        return wire.ENTRY_ATTR.pack(nodeid, 0, valid, valid, 0, 0, *found)

    def get_attributes(self, request: Request) -> Reply:
        found = self.attributes(request.nodeid)
        return wire.ATTR_OUT.pack(self.valid_s, 0, *found)

    def set_attributes(self, request: Request) -> Reply:
        valid, _, size, *_ = wire.SETATTR_IN.unpack_from(request.body)
        if valid & SetattrValid.SIZE:
            data = self.data[request.nodeid - 2]
            del data[size:]
            data.extend(bytes(size - len(data)))
        return self.get_attributes(request)

    def read(self, request: Request) -> Reply:
        _, offset, size, *_ = wire.READ_IN.unpack_from(request.body)
        return bytes(self.data[request.nodeid - 2][offset : offset + size])

    def write(self, request: Request) -> Reply:
        _, offset, size, *_ = wire.WRITE_IN.unpack_from(request.body)
        data = self.data[request.nodeid - 2]
        data.extend(bytes(max(0, offset + size - len(data))))
        start = wire.WRITE_IN.size
        data[offset : offset + size] = request.body[start : start + size]
        return wire.WRITE_OUT.pack(size)

    def unlink(self, request: Request) -> Reply:
        self.names[self.names.index(bytes(request.body[:-1]))] = b""
        return b""

    def list(self, request: Request) -> Reply:
        _, offset, *_ = wire.READ_IN.unpack_from(request.body)
        entries = []
        for position, name in enumerate(self.names[offset:], offset):
            head = wire.DIRENT.pack(position + 2, position + 1, len(name), DT_REG)
            entries += [head, name, bytes(-len(name) % 8)]
        return entries


@contextmanager
def served(
    filesystem: MemoryFilesystem,
    target: Path,
    *,
    options: MountOptions | None = None,
    wishes: Wishes = WISHES,
    negotiated: Negotiated | None = None,
) -> Iterator[Session]:
    """Serve ``filesystem`` on ``target`` from a thread; unmount however a test ends."""
    target.mkdir(exist_ok=True)
    with mount(os.fsencode(target), options) as connection:
        session = Session(
            connection, filesystem.handlers, wishes=wishes, negotiated=negotiated
        )
        thread = threading.Thread(target=session.run)
        thread.start()
        try:
            # INIT is the first thing that is answered.
            os.stat(target)
            yield session
        finally:
            filesystem.open_gates()
            connection.unmount()
            thread.join()
