"""What concerns the filesystem as a whole, and ioctl(2)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial

from snapfs.fuse.operations.context import Context
from snapfs.fuse.session import Handler, Later, Reply, Request
from snapfs.fuse.wire import ROOT_ID, Opcode, structs
from snapfs.light_typing import Final
from snapfs.syscalls import syncfs

_NAME_BYTES: Final = 255


class FilesystemOperations:
    """The handlers of totals and of syncing everything."""

    __slots__ = ("_context",)

    def __init__(self, context: Context) -> None:
        self._context = context

    def handlers(self) -> Mapping[Opcode, Handler]:
        """Return the handlers by operation."""
        found: dict[Opcode, Handler] = {
            Opcode.STATFS: self.totals,
            # Of what TMPFILE opened, which has no handle.
            Opcode.RELEASE: _release,
        }
        if not (self._context.is_read_only or self._context.config.is_volatile):
            found[Opcode.SYNCFS] = self.sync
        return found

    def totals(self, _request: Request) -> Reply:
        """Answer with the space of the filesystem that takes the changes."""
        found = self._context.union.statfs()
        return structs.STATFS_OUT.pack(
            found.f_blocks,
            found.f_bfree,
            found.f_bavail,
            found.f_files,
            found.f_ffree,
            found.f_bsize,
            min(found.f_namemax, _NAME_BYTES),
            found.f_frsize,
        )

    def sync(self, _request: Request) -> Reply:
        """Have all changes on the disk."""
        upper = self._context.union.stack.upper
        assert upper is not None
        # syncfs(2) takes no O_PATH descriptor.
        fd = os.open(b".", os.O_RDONLY | os.O_CLOEXEC, dir_fd=upper.root_fd)
        return Later(partial(_sync, fd), ROOT_ID)


def _sync(fd: int) -> Reply:
    try:
        syncfs(fd)
    finally:
        os.close(fd)
    return b""


def _release(_request: Request) -> Reply:
    return b""
