"""Answering requests that may have been carried out already, by a server that died.

Most can simply be carried out once more: what reads, and what sets something to a
value. Those that make a name or take one away would fail, or do it twice: here they
are done if they were not, and answered as what they came to if they were.
"""

from __future__ import annotations

import errno
import stat
from collections.abc import Callable, Mapping, Sequence

from snapfs.fuse.operations import Context
from snapfs.fuse.operations.context import two_names
from snapfs.fuse.recovery import records
from snapfs.fuse.recovery.memory import SharedMemory
from snapfs.fuse.recovery.repair import Repair
from snapfs.fuse.session import Handler, Later, Reply, Request
from snapfs.fuse.union.lookup import FORMAT_MASK
from snapfs.fuse.union.no_log import INTEND_EXCHANGE, INTEND_XATTR
from snapfs.fuse.union.node import METACOPY, Directory, Node
from snapfs.fuse.union.notes import Place
from snapfs.fuse.union.search import find
from snapfs.fuse.wire import Opcode, structs
from snapfs.light_typing import Final
from snapfs.overlay_format import is_whiteout
from snapfs.overlay_marks import stat_entry
from snapfs.syscalls import RENAME_EXCHANGE

_REGULAR: Final = stat.S_IFREG


class Redo:
    """Carries requests out that came again.

    Args:
        context: Of the mount.
        handlers: Those that a first request goes to.
        repair: Looks at the disk.
        memory: With what the dead server was about to do.
    """

    def __init__(
        self,
        context: Context,
        handlers: Sequence[Handler | None],
        repair: Repair,
        memory: SharedMemory,
    ) -> None:
        self._context = context
        self._union = context.union
        self._handlers = handlers
        self._repair = repair
        self._memory = memory
        self._ways: Mapping[int, Callable[[Request], Reply]] = {
            Opcode.MKNOD: self._make,
            Opcode.MKDIR: self._make,
            Opcode.SYMLINK: self._make,
            Opcode.CREATE: self._make,
            Opcode.LINK: self._link,
            Opcode.UNLINK: self._remove,
            Opcode.RMDIR: self._remove,
            Opcode.RENAME: self._rename,
            Opcode.RENAME2: self._rename,
            Opcode.SETXATTR: self._set_xattr,
            Opcode.REMOVEXATTR: self._set_xattr,
        }

    def is_for(self, opcode: int) -> bool:
        """Tell whether an operation must not simply be carried out once more."""
        return opcode in self._ways

    def answer(self, request: Request) -> Reply:
        """Return the answer; with no lock held, and before the session runs.

        Raises:
            OSError: What the caller is to be told.
        """
        self._look_at(request.nodeid)
        return self._ways[request.opcode](request)

    def look_at_nodes(self, request: Request) -> None:
        """See what was done for a request that is carried out once more, as any.

        Raises:
            OSError: From the upper's filesystem.
        """
        self._look_at(request.nodeid)
        if request.opcode in (Opcode.COPY_FILE_RANGE, Opcode.COPY_FILE_RANGE_64):
            target = structs.COPY_FILE_RANGE_IN.unpack_from(request.body)[2]
            self._look_at(target)

    def _look_at(self, nodeid: int) -> None:
        node = self._union.nodes.get(nodeid)
        if node is not None:
            self._repair.node(node)

    def _carry_out(self, request: Request) -> Reply:
        handler = self._handlers[request.opcode]
        if handler is None:
            return -errno.ENOSYS
        reply = handler(request)
        while isinstance(reply, Later):
            reply = reply.run()
        return reply

    # What makes a name.

    def _make(self, request: Request) -> Reply:
        try:
            return self._carry_out(request)
        except FileExistsError:
            node = self._made(request)
            if node is None:
                raise
        context = self._context
        if request.opcode != Opcode.CREATE:
            return context.made(node, request.unique)
        assert context.opens is not None
        opened = context.opens.open(node, request.unique, is_writing=True)
        return context.made(node, request.unique) + opened

    def _made(self, request: Request) -> Node | None:
        """Return the node of what the dead server has made."""
        kind, name = _wanted(request)
        parent = self._context.directory(request.nodeid)
        node = self._union.lookup(parent, name)
        if node is None or node.kind != kind or node.layer:
            return None
        return node

    def _link(self, request: Request) -> Reply:
        (old,) = structs.LINK_IN.unpack_from(request.body)
        self._look_at(old)
        try:
            return self._carry_out(request)
        except FileExistsError:
            name = request.body[structs.LINK_IN.size :].tobytes()[:-1]
            node = self._context.node(old)
            parent = self._context.directory(request.nodeid)
            if not self._is_linked(node, parent, name):
                raise
        self._context.changes.notes.linked(node, parent, name)
        return self._context.entry(node, request.unique)

    def _is_linked(self, node: Node, parent: Directory, name: bytes) -> bool:
        fd, known = self._union.place(node)
        one = stat_entry(fd, known)
        other = stat_entry(self._union.directory_fd(parent, 0), name)
        if one is None or other is None:
            return False
        return not node.layer and one.st_ino == other.st_ino

    # What takes a name away.

    def _remove(self, request: Request) -> Reply:
        name = request.body.tobytes()[:-1]
        parent = self._context.directory(request.nodeid)
        if self._is_there(parent, name):
            self._look_at_child(parent, name)
            return self._carry_out(request)
        self._lose(parent, name)
        return b""

    def _is_there(self, parent: Directory, name: bytes) -> bool:
        return find(self._union, parent, name) is not None

    def _look_at_child(self, parent: Directory, name: bytes) -> None:
        node = parent.children.get(name)
        if node is not None:
            self._repair.node(node)

    def _lose(self, parent: Directory, name: bytes) -> None:
        """Note that a name is gone, if that is not noted yet."""
        node = parent.children.get(name)
        if node is not None:
            status = self._union.removed_statuses.get(node.nodeid)
            self._context.changes.notes.lost(node, (parent, name), status)

    # What moves names.

    def _rename(self, request: Request) -> Reply:
        body, flags = request.body, 0
        if request.opcode == Opcode.RENAME:
            (target,) = structs.RENAME_IN.unpack_from(body)
            names = two_names(body, structs.RENAME_IN.size)
        else:
            target, flags = structs.RENAME2_IN.unpack_from(body)
            names = two_names(body, structs.RENAME2_IN.size)
        self._look_at(target)
        old_parent = self._context.directory(request.nodeid)
        new_parent = self._context.directory(target)
        old, new = (old_parent, names[0]), (new_parent, names[1])
        if flags & RENAME_EXCHANGE:
            return self._exchange(request, old, new)
        if self._is_there(*old):
            if not self._is_over_lower(old, new):
                self._look_at_child(*old)
                return self._carry_out(request)
            self._repair.cover(*old)
        node = old_parent.children.get(names[0])
        if node is not None:
            self._lose(*new)
            self._moved(node, old, new)
        return b""

    def _is_over_lower(self, old: Place, new: Place) -> bool:
        """Tell whether what is at the old name is a lower entry that came to light.

        Only on filesystems without RENAME_WHITEOUT, between the two calls.
        """
        node = old[0].children.get(old[1])
        if node is None or node.layer or not old[0].has_upper:
            return False
        if stat_entry(self._union.directory_fd(old[0], 0), old[1]) is not None:
            return False
        there = stat_entry(self._union.directory_fd(new[0], 0), new[1])
        return there is not None and not is_whiteout(there)

    def _exchange(self, request: Request, old: Place, new: Place) -> Reply:
        intention = self._memory.intention(INTEND_EXCHANGE)
        is_intended = bool(intention) and _is_of(request, intention[0])
        there = None
        if is_intended:
            there = stat_entry(self._union.directory_fd(new[0], 0), new[1])
        if there is None or there.st_ino != intention[1]:
            self._look_at_child(*old)
            self._look_at_child(*new)
            return self._carry_out(request)
        notes, nodes = self._context.changes.notes, self._union.nodes
        one, other = nodes.get(intention[2]), nodes.get(intention[3])
        if other is not None and notes.leads(new, other):
            self._moved(other, new, old)
        if one is not None and notes.leads(old, one):
            self._moved(one, old, new)
        if one is not None:
            new[0].children[new[1]] = one
        return b""

    def _moved(self, node: Node, old: Place, new: Place) -> None:
        if node.layer or node.flags & METACOPY:
            self._repair.in_upper(node)  # which comes first
        self._context.changes.notes.moved(node, old, new)

    # Attributes.

    def _set_xattr(self, request: Request) -> Reply:
        code = errno.EEXIST if request.opcode == Opcode.SETXATTR else errno.ENODATA
        try:
            return self._carry_out(request)
        except OSError as error:
            if error.errno != code:
                raise
            intention = self._memory.intention(INTEND_XATTR)
            if not intention or not _is_of(request, intention[0]):
                raise
        return b""


def _is_of(request: Request, unique: int) -> bool:
    return not (request.unique ^ unique) & records.UNIQUE_MASK


def _wanted(request: Request) -> tuple[int, bytes]:
    """Return kind and name of what a request makes."""
    body = request.body
    if request.opcode == Opcode.MKNOD:
        mode, *_ = structs.MKNOD_IN.unpack_from(body)
        name = body[structs.MKNOD_IN.size :].tobytes()[:-1]
        return (mode & FORMAT_MASK) or _REGULAR, name
    if request.opcode == Opcode.MKDIR:
        return stat.S_IFDIR, body[structs.MKDIR_IN.size :].tobytes()[:-1]
    if request.opcode == Opcode.SYMLINK:
        return stat.S_IFLNK, two_names(body, 0)[0]
    return _REGULAR, body[structs.CREATE_IN.size :].tobytes()[:-1]
