"""LOOKUP and READLINK: which names there are, and where links lead."""

from __future__ import annotations

from collections.abc import Mapping

from snapfs.fuse.operations.context import ENOTDIR, ESTALE, Context
from snapfs.fuse.session import Handler, Reply, Request, forget_handlers
from snapfs.fuse.union.node import Directory
from snapfs.fuse.wire import Opcode


class NameOperations:
    """The handlers of names, and of what the kernel no longer knows."""

    __slots__ = ("_nodes", "_replies", "_union")

    def __init__(self, context: Context) -> None:
        self._union = context.union
        self._nodes = context.union.nodes
        self._replies = context.replies

    def handlers(self) -> Mapping[Opcode, Handler]:
        """Return the handlers by operation."""
        return {
            Opcode.LOOKUP: self.lookup,
            Opcode.READLINK: self.read_link,
            **forget_handlers(self._nodes.forget, self._nodes.log.forgotten),
        }

    def lookup(self, request: Request) -> Reply:
        """Answer with the node of a name; 0, kept as long, where there is none."""
        parent = self._nodes.get(request.nodeid)
        if not isinstance(parent, Directory):
            return ESTALE if parent is None else ENOTDIR
        union = self._union
        node = union.lookup(parent, request.body.tobytes()[:-1])
        if node is None:
            return self._replies.negative
        status = union.found_status
        self._nodes.reference(node, request.unique)
        return self._replies.entry(
            node.nodeid, status, node.ino, union.shown_nlink(node, status)
        )

    def read_link(self, request: Request) -> Reply:
        """Answer with the target of a symbolic link."""
        node = self._nodes.get(request.nodeid)
        return ESTALE if node is None else self._union.read_link(node)
