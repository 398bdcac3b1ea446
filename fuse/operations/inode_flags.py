"""IOCTL: the inode flags of chattr(1), and no other request.

The flags are those of the file in its layer, as with overlayfs. Every other request is
ENOTTY; among them the TCGETS by which programs ask whether a file is a terminal.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
from collections.abc import Mapping
from functools import partial

from snapfs.fuse.operations.context import Context
from snapfs.fuse.session import Handler, Reply, Request
from snapfs.fuse.union.node import Node
from snapfs.fuse.wire import Opcode, structs
from snapfs.light_typing import Final

_ENOTTY: Final = -errno.ENOTTY
_EROFS: Final = -errno.EROFS

# FS_IOC_GETFLAGS and FS_IOC_FSGETXATTR, and their opposites (linux/fs.h).
_GETTERS: Final = frozenset((0x80086601, 0x801C581F))
_SETTERS: Final = frozenset((0x40086602, 0x401C5820))
# FS_IMMUTABLE_FL and FS_XFLAG_IMMUTABLE, in the first word of what they take.
_IMMUTABLE: Final = {0x40086602: 0x10, 0x401C5820: 0x08}
_LARGEST: Final = 28
"""Bytes of ``struct fsxattr``; the flags alone are four."""

_DONE: Final = structs.IOCTL_OUT.pack(0, 0, 0, 0)
_OPEN: Final = os.O_RDONLY | os.O_NONBLOCK


class InodeFlagOperations:
    """The handler of IOCTL."""

    __slots__ = ("_context",)

    def __init__(self, context: Context) -> None:
        self._context = context

    def handlers(self) -> Mapping[Opcode, Handler]:
        """Return the handlers by operation."""
        return {Opcode.IOCTL: self.control}

    def control(self, request: Request) -> Reply:
        """Get or set the flags of an inode."""
        body = request.body
        _, _, command, _, in_size, out_size = structs.IOCTL_IN.unpack_from(body)
        context = self._context
        if command in _GETTERS:
            return self._get(context.node(request.nodeid), command, out_size)
        if command not in _SETTERS:
            return _ENOTTY
        if context.is_read_only:
            return _EROFS
        start = structs.IOCTL_IN.size
        value = body[start : start + in_size].tobytes()
        node = context.node(request.nodeid)
        change = partial(self._set, node, command, value)
        return context.changing(node, change)

    def _get(self, node: Node, command: int, size: int) -> Reply:
        value = bytearray(_LARGEST)
        fd = self._open(node)
        try:
            fcntl.ioctl(fd, command, value)
        finally:
            os.close(fd)
        return _DONE + bytes(value[:size])

    def _set(self, node: Node, command: int, value: bytes) -> Reply:
        changes = self._context.changes
        changes.copy_up.copy_up(node)
        fd = self._open(node)
        try:
            fcntl.ioctl(fd, command, value.ljust(_LARGEST, b"\0"))
        finally:
            os.close(fd)
        if int.from_bytes(value[:4], sys.byteorder) & _IMMUTABLE[command]:
            # What is open could still be written to; opening it cannot.
            changes.data.drop(node)
        return _DONE

    def _open(self, node: Node) -> int:
        fd, name = self._context.union.place(node)
        flags = _OPEN | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(name, flags, dir_fd=fd)
