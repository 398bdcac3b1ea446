"""GETATTR and SETATTR: what stat(2) shows, and what changes it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from snapfs.file_syscalls import UTIME_NOW
from snapfs.fuse.operations.context import EROFS, Context, caller_of
from snapfs.fuse.session import Handler, Reply, Request
from snapfs.fuse.union.attributes import SetAttributes
from snapfs.fuse.union.caller import Caller
from snapfs.fuse.union.node import Node
from snapfs.fuse.wire import Opcode, SetattrValid, structs
from snapfs.light_typing import Final

_MODE: Final = int(SetattrValid.MODE)
_UID: Final = int(SetattrValid.UID)
_GID: Final = int(SetattrValid.GID)
_SIZE: Final = int(SetattrValid.SIZE)
_ATIME: Final = int(SetattrValid.ATIME)
_MTIME: Final = int(SetattrValid.MTIME)
_ATIME_NOW: Final = int(SetattrValid.ATIME_NOW)
_MTIME_NOW: Final = int(SetattrValid.MTIME_NOW)
_KILL_SUIDGID: Final = int(SetattrValid.KILL_SUIDGID)

_NS_PER_S: Final = 1_000_000_000


class AttributeOperations:
    """The handlers of attributes."""

    __slots__ = ("_context", "_replies", "_union")

    def __init__(self, context: Context) -> None:
        self._context = context
        self._replies = context.replies
        self._union = context.union

    def handlers(self) -> Mapping[Opcode, Handler]:
        """Return the handlers by operation."""
        return {
            Opcode.GETATTR: self.get_attributes,
            Opcode.SETATTR: self.set_attributes,
        }

    def get_attributes(self, request: Request) -> Reply:
        """Answer with what stat(2) shows."""
        return self._shown(self._context.node(request.nodeid), request.nodeid)

    def _shown(self, node: Node, nodeid: int) -> Reply:
        status, ino, nlink = self._union.status(node)
        if nodeid != node.nodeid:  # the kernel is not told of changes of this number
            return self._replies.passing(status, ino, nlink)
        return self._replies.attributes(status, ino, nlink)

    def set_attributes(self, request: Request) -> Reply:
        """Change mode, owner, size or times, and answer with what is then shown."""
        context = self._context
        if context.is_read_only:
            return EROFS
        node = context.node(request.nodeid)
        wanted = _wanted(request.body)
        nodeid, caller = request.nodeid, caller_of(request)
        if (
            self._union.uncapped
            and self._follows_removal_of_capabilities(request)
            and wanted.is_empty
            and caller.has_fsetid()
        ):
            return self._shown(node, nodeid)
        if not context.copies_long(node, wanted.size):
            return self._set(nodeid, node, wanted, caller)
        change = partial(self._set, nodeid, node, wanted, caller)
        return context.changing(node, change, wanted.size)

    def _set(
        self, nodeid: int, node: Node, wanted: SetAttributes, caller: Caller
    ) -> Reply:
        context = self._context
        context.changes.set_attributes(node, wanted, caller)
        if context.opens is not None and wanted.mode is not None:
            context.opens.mode_changed(node)
        return self._shown(node, nodeid)

    def _follows_removal_of_capabilities(self, request: Request) -> bool:
        """Tell whether the calling thread has just taken a file's capabilities away.

        Before it changes the data of such a file the kernel does so, and sends a
        SETATTR of nothing (``__remove_privs``, fs/inode.c), with the inode locked: also
        for a caller whose changes leave set-id bits. So it does for ``chown(-1, -1)``,
        which cannot be told apart.
        """
        union = self._union
        thread = union.uncapped.pop(request.nodeid, 0)
        if not thread:
            return False
        union.nodes.log.uncapped(request.unique, request.nodeid, 0)
        return thread == request.pid


def _wanted(body: memoryview) -> SetAttributes:
    (
        valid,
        _fh,
        size,
        _owner,
        atime,
        mtime,
        _ctime,
        atime_ns,
        mtime_ns,
        _ctime_ns,
        mode,
        uid,
        gid,
    ) = structs.SETATTR_IN.unpack_from(body)
    wanted = SetAttributes()
    if valid & _MODE:
        wanted.mode = mode
    if valid & _UID:
        wanted.uid = uid
    if valid & _GID:
        wanted.gid = gid
    if valid & _SIZE:
        wanted.size = size
        wanted.kills_suidgid = bool(valid & _KILL_SUIDGID)
    if valid & _ATIME:
        wanted.atime_ns = atime * _NS_PER_S + atime_ns
        if valid & _ATIME_NOW:
            wanted.atime_ns = UTIME_NOW
    if valid & _MTIME:
        wanted.mtime_ns = mtime * _NS_PER_S + mtime_ns
        if valid & _MTIME_NOW:
            wanted.mtime_ns = UTIME_NOW
    return wanted
