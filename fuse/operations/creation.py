"""What makes a name: MKNOD, MKDIR, SYMLINK, LINK and TMPFILE."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from snapfs.fuse.operations.context import Context, caller_of, two_names
from snapfs.fuse.session import Handler, Reply, Request
from snapfs.fuse.union.node import Directory, Node
from snapfs.fuse.wire import Opcode, OpenFlag, structs
from snapfs.light_typing import Final

_KEEP_CACHE: Final = int(OpenFlag.KEEP_CACHE)
_OPENED: Final = structs.OPEN_OUT.pack(0, _KEEP_CACHE, 0)
"""An open file without a handle: everything is found by its node."""


class CreationOperations:
    """The handlers that make names; only for mounts that can be changed.

    CREATE is not among them: the kernel then makes a node and opens it, and opening
    is free.
    """

    __slots__ = ("_changes", "_context")

    def __init__(self, context: Context) -> None:
        self._context = context
        self._changes = context.changes

    def handlers(self) -> Mapping[Opcode, Handler]:
        """Return the handlers by operation."""
        return {
            Opcode.MKNOD: self.make_node,
            Opcode.MKDIR: self.make_directory,
            Opcode.SYMLINK: self.make_symlink,
            Opcode.LINK: self.link,
            Opcode.TMPFILE: self.make_unnamed,
        }

    def make_node(self, request: Request) -> Reply:
        """Make a regular file, a device, a fifo or a socket."""
        body = request.body
        mode, rdev, umask = structs.MKNOD_IN.unpack_from(body)
        name = body[structs.MKNOD_IN.size :].tobytes()[:-1]
        context = self._context
        parent = context.directory(request.nodeid)
        caller = caller_of(request, umask)
        node = self._changes.make_node(parent, name, mode, rdev, caller)
        return context.made(node, request.unique)

    def make_directory(self, request: Request) -> Reply:
        """Make a directory."""
        body = request.body
        mode, umask = structs.MKDIR_IN.unpack_from(body)
        name = body[structs.MKDIR_IN.size :].tobytes()[:-1]
        context = self._context
        parent = context.directory(request.nodeid)
        caller = caller_of(request, umask)
        node = self._changes.make_directory(parent, name, mode, caller)
        return context.made(node, request.unique)

    def make_symlink(self, request: Request) -> Reply:
        """Make a symbolic link."""
        name, target = two_names(request.body, 0)
        context = self._context
        parent = context.directory(request.nodeid)
        caller = caller_of(request)
        node = self._changes.make_symlink(parent, name, target, caller)
        return context.made(node, request.unique)

    def make_unnamed(self, request: Request) -> Reply:
        """Make a regular file without a name, and open it."""
        _, mode, umask, _ = structs.CREATE_IN.unpack_from(request.body)
        context = self._context
        parent = context.directory(request.nodeid)
        caller = caller_of(request, umask)
        node = self._changes.make_unnamed(parent, mode, caller)
        return context.made(node, request.unique) + _OPENED

    def link(self, request: Request) -> Reply:
        """Give a file one more name."""
        body = request.body
        (old,) = structs.LINK_IN.unpack_from(body)
        name = body[structs.LINK_IN.size :].tobytes()[:-1]
        context = self._context
        node = context.node(old)
        parent = context.directory(request.nodeid)
        change = partial(self._link, request.unique, node, parent, name)
        return context.changing(node, change)

    def _link(self, unique: int, node: Node, parent: Directory, name: bytes) -> Reply:
        return self._context.entry(self._changes.link(node, parent, name), unique)
