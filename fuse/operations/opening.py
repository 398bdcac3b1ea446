"""OPEN, CREATE and RELEASE of the mode ``io``: the kernel moves the data itself.

A lower file is copied up when it is opened for writing. If somebody reads it at that
time, through the kernel, the copy gets a number of its own and the opener ESTALE: the
kernel looks the name up again and opens that. Through the old number everything but
the data goes to the copy.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial

from snapfs.fuse.operations.context import EROFS, ESTALE, Context, caller_of
from snapfs.fuse.operations.opens import Opens
from snapfs.fuse.session import Handler, Reply, Request
from snapfs.fuse.union.attributes import SetAttributes
from snapfs.fuse.union.caller import Caller
from snapfs.fuse.union.node import METACOPY, Node
from snapfs.fuse.wire import Opcode, OpenInFlag, structs
from snapfs.light_typing import Final

_KILL_SUIDGID: Final = int(OpenInFlag.KILL_SUIDGID)


class OpeningOperations:
    """The handlers of open files; only for mounts of the mode ``io``."""

    __slots__ = ("_changes", "_context", "_opens", "_told")

    def __init__(self, context: Context, opens: Opens) -> None:
        self._context = context
        self._changes = context.changes
        self._opens = opens
        self._told = (0, 0)

    def handlers(self) -> Mapping[Opcode, Handler]:
        """Return the handlers by operation."""
        reading: dict[Opcode, Handler] = {
            Opcode.OPEN: self.open,
            Opcode.RELEASE: self.release,
        }
        if self._context.is_read_only:
            return reading
        return {**reading, Opcode.CREATE: self.create, Opcode.TMPFILE: self.unnamed}

    def open(self, request: Request) -> Reply:
        """Open a file; copied up first, if it is for writing."""
        flags, further = structs.OPEN_IN.unpack_from(request.body)
        context = self._context
        nodeid = request.nodeid
        node = context.node(nodeid)
        is_writing = flags & os.O_ACCMODE != os.O_RDONLY or bool(flags & os.O_TRUNC)
        if nodeid != node.nodeid:
            return self._open_former(request, is_writing=is_writing)
        if not is_writing:
            return self._opens.open(node, request.unique, is_writing=False)
        if context.is_read_only:
            return EROFS
        truncates = bool(flags & os.O_TRUNC)
        truncation = None
        if truncates:
            kills = bool(further & _KILL_SUIDGID)
            truncation = SetAttributes(size=0, kills_suidgid=kills)
        caller = caller_of(request)
        change = partial(
            self._open_changed, request.unique, nodeid, node, truncation, caller
        )
        if not node.layer and not node.flags & METACOPY:
            return change()
        return context.changing(node, change, 0 if truncates else None)

    def _open_changed(
        self,
        unique: int,
        nodeid: int,
        node: Node,
        truncation: SetAttributes | None,
        caller: Caller,
    ) -> Reply:
        truncate_to = None if truncation is None else truncation.size
        self._changes.copy_up.copy_up(node, truncate_to=truncate_to)
        if node.nodeid != nodeid:
            return ESTALE
        if truncation is not None:
            self._changes.set_attributes(node, truncation, caller)
        return self._opens.open(node, unique, is_writing=True)

    def _open_former(self, request: Request, *, is_writing: bool) -> Reply:
        """Send who came by a name to the file's new number.

        Who asks twice did not come by a name (``/proc/PID/fd``).
        """
        asked = (request.nodeid, request.pid)
        if is_writing or asked != self._told:
            self._told = asked
            return ESTALE
        reply = self._opens.open_former(request.nodeid, request.unique)
        return ESTALE if reply is None else reply

    def release(self, request: Request) -> Reply:
        """Note that an open file is closed."""
        self._opens.released(request.nodeid, request.unique)
        return b""

    def create(self, request: Request) -> Reply:
        """Make a regular file and open it."""
        body = request.body
        _, mode, umask, _ = structs.CREATE_IN.unpack_from(body)
        name = body[structs.CREATE_IN.size :].tobytes()[:-1]
        context = self._context
        parent = context.directory(request.nodeid)
        caller = caller_of(request, umask)
        node = self._changes.make_node(parent, name, mode, 0, caller)
        opened = self._opens.open(node, request.unique, is_writing=True)
        return context.made(node, request.unique) + opened

    def unnamed(self, request: Request) -> Reply:
        """Make a regular file without a name, and open it."""
        _, mode, umask, _ = structs.CREATE_IN.unpack_from(request.body)
        context = self._context
        parent = context.directory(request.nodeid)
        node = self._changes.make_unnamed(parent, mode, caller_of(request, umask))
        opened = self._opens.open(node, request.unique, is_writing=True)
        return context.made(node, request.unique) + opened
