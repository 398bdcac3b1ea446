"""What takes a name away or moves it: UNLINK, RMDIR, RENAME and RENAME2."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from functools import partial

from snapfs.fuse.operations.context import Context, two_names
from snapfs.fuse.session import Handler, Reply, Request
from snapfs.fuse.union.node import Directory
from snapfs.fuse.wire import Opcode, structs
from snapfs.light_typing import Final
from snapfs.syscalls import RENAME_EXCHANGE, RENAME_NOREPLACE

_EINVAL: Final = -errno.EINVAL
_RENAME_FLAGS: Final = RENAME_NOREPLACE | RENAME_EXCHANGE


class RemovalOperations:
    """The handlers that take names away; only for mounts that can be changed."""

    __slots__ = ("_changes", "_context")

    def __init__(self, context: Context) -> None:
        self._context = context
        self._changes = context.changes

    def handlers(self) -> Mapping[Opcode, Handler]:
        """Return the handlers by operation."""
        return {
            Opcode.UNLINK: self.remove,
            Opcode.RMDIR: self.remove_directory,
            Opcode.RENAME: self.rename,
            Opcode.RENAME2: self.rename_with_flags,
        }

    def remove(self, request: Request) -> Reply:
        """Remove a name that is not a directory."""
        parent = self._context.directory(request.nodeid)
        self._changes.remove(parent, request.body.tobytes()[:-1])
        return b""

    def remove_directory(self, request: Request) -> Reply:
        """Remove a directory that shows nothing."""
        parent = self._context.directory(request.nodeid)
        self._changes.remove_directory(parent, request.body.tobytes()[:-1])
        return b""

    def rename(self, request: Request) -> Reply:
        """Move a name."""
        (target,) = structs.RENAME_IN.unpack_from(request.body)
        names = two_names(request.body, structs.RENAME_IN.size)
        return self._rename(request, target, names, 0)

    def rename_with_flags(self, request: Request) -> Reply:
        """Move a name to a free one, or exchange two."""
        target, flags = structs.RENAME2_IN.unpack_from(request.body)
        if flags & ~_RENAME_FLAGS:  # before anything is copied up for it
            return _EINVAL
        names = two_names(request.body, structs.RENAME2_IN.size)
        return self._rename(request, target, names, flags)

    def _rename(
        self, request: Request, new: int, names: tuple[bytes, bytes], flags: int
    ) -> Reply:
        context = self._context
        old_parent = context.directory(request.nodeid)
        new_parent = context.directory(new)
        old, unique = (old_parent, names[0]), request.unique
        change = partial(self._move, old, (new_parent, names[1]), flags, unique)
        if flags & RENAME_EXCHANGE:
            other = new_parent.children.get(names[1])
            if other is not None:  # before anything is copied up for it
                self._changes.refuse_unmovable(other)
        # Nearly always in memory: the kernel has looked it up just before.
        node = old_parent.children.get(names[0])
        return change() if node is None else context.changing(node, change)

    def _move(
        self,
        old: tuple[Directory, bytes],
        new: tuple[Directory, bytes],
        flags: int,
        unique: int,
    ) -> Reply:
        self._changes.rename(*old, *new, flags, unique)
        return b""
