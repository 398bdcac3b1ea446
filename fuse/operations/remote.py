"""Layers that a server answers for (NFS, FUSE ...), and that may cease to.

A call on such a layer can hang for ever, and a handler that makes it would hold the
session's lock. So what a request will need of remote layers is asked for before, by a
thread without the lock: as long as nothing comes back, the handler is not called, all
other requests go on, and who is killed meanwhile gets away. What comes back is thrown
away: the handler asks again, and the layer's own filesystem has it in memory then.

A server that dies between the two still stops the mount: that is a matter of
microseconds, and of no data.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Final, TypeAlias

from snapfs.fuse.operations.context import Context, two_names
from snapfs.fuse.session import Request, Wait, WorkerPool
from snapfs.fuse.union.node import METACOPY, PLAIN, Directory, Node
from snapfs.fuse.wire import Opcode, structs

Question: TypeAlias = Callable[[], object]
Place: TypeAlias = tuple[int, bytes]
"""A layer's root and a path from there."""

_CLOSERS: Final = 4
_OPEN: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC

# What is about one name, and where that stands in the body.
_OF_A_NAME: Final[Mapping[int, int]] = {
    Opcode.LOOKUP: 0,
    Opcode.MKNOD: structs.MKNOD_IN.size,
    Opcode.MKDIR: structs.MKDIR_IN.size,
    Opcode.SYMLINK: 0,
    Opcode.TMPFILE: structs.CREATE_IN.size,  # its name has no meaning
    Opcode.UNLINK: 0,
    Opcode.RMDIR: 0,
}
_OF_TWO: Final = frozenset(
    (
        Opcode.LINK,
        Opcode.RENAME,
        Opcode.RENAME2,
        Opcode.COPY_FILE_RANGE,
        Opcode.COPY_FILE_RANGE_64,
    )
)
_CHANGING: Final = frozenset(
    (
        Opcode.SETATTR,
        Opcode.SETXATTR,
        Opcode.REMOVEXATTR,
        Opcode.WRITE,
        Opcode.FALLOCATE,
    )
)
_READING: Final = frozenset((Opcode.OPEN, Opcode.READ, Opcode.LSEEK))
_ATTRIBUTES: Final = frozenset(
    (Opcode.GETATTR, Opcode.READLINK, Opcode.GETXATTR, Opcode.LISTXATTR)
)
_LISTING: Final = frozenset((Opcode.READDIR, Opcode.READDIRPLUS))


class RemoteLayers:
    """What a request needs of remote layers; ``wait_of`` of a session."""

    def __init__(self, context: Context) -> None:
        self._union = context.union
        self._data = context.changes.data
        layers = context.union.stack.layers
        self._remote = frozenset(
            index for index in range(1, len(layers)) if layers[index].is_remote
        )
        self._closers: WorkerPool[int] = WorkerPool(
            os.close, limit=_CLOSERS, name="snapfs-closer"
        )
        # close(2) of a remote file asks the server, too.
        self._data.close_descriptor = self._close

    def _close(self, fd: int) -> None:
        self._closers.submit(fd, fd)

    def wait_of(self, request: Request) -> Wait | None:
        """Return what has to be awaited before ``request`` is handled."""
        questions = list(self._questions(request))
        return partial(_ask, questions) if questions else None

    def _questions(self, request: Request) -> Iterator[Question]:
        node = self._union.nodes.get(request.nodeid)
        opcode = request.opcode
        if node is None:
            return
        if opcode in _OF_A_NAME:
            yield from self._about_a_name(node, request)
        elif opcode in _CHANGING or (opcode in _READING and not self._is_open(node)):
            yield from self._content(node)
        elif opcode in _LISTING:
            yield from self._listing(node, opcode == Opcode.READDIRPLUS)
        elif opcode in _ATTRIBUTES:
            yield from self._attributes(node, opcode)
        elif opcode == Opcode.STATFS:
            yield from self._totals()
        elif opcode in _OF_TWO:
            yield from self._about_two(node, request)

    def _is_open(self, node: Node) -> bool:
        return self._data.has_reader(node)

    def _attributes(self, node: Node, opcode: int) -> Iterator[Question]:
        is_xattr = opcode in (Opcode.GETXATTR, Opcode.LISTXATTR)
        if is_xattr and node.flags & PLAIN:
            return
        ask = _list_xattrs if is_xattr else _stat
        yield from (partial(ask, *at) for at in self._places(node))

    def _about_a_name(self, parent: Node, request: Request) -> Iterator[Question]:
        opcode = request.opcode
        name, _, _ = request.body[_OF_A_NAME[opcode] :].tobytes().partition(b"\0")
        yield from self._name(parent, name, is_made=opcode != Opcode.LOOKUP)
        if opcode == Opcode.RMDIR and isinstance(parent, Directory):
            child = parent.children.get(name)
            if child is not None:
                yield from self._listing(child, with_attributes=False)

    def _about_two(self, node: Node, request: Request) -> Iterator[Question]:
        """Yield what the operations on two nodes ask."""
        body, opcode = request.body, request.opcode
        if opcode == Opcode.LINK:
            (old,) = structs.LINK_IN.unpack_from(body)
            yield from self._content(self._union.nodes.get(old))
            yield from self._name(node, body[structs.LINK_IN.size :].tobytes()[:-1])
        elif opcode in (Opcode.COPY_FILE_RANGE, Opcode.COPY_FILE_RANGE_64):
            target = structs.COPY_FILE_RANGE_IN.unpack_from(body)[2]
            yield from self._content(node)
            yield from self._content(self._union.nodes.get(target))
        elif opcode in (Opcode.RENAME, Opcode.RENAME2):
            fixed = structs.RENAME_IN if opcode == Opcode.RENAME else structs.RENAME2_IN
            other = self._union.nodes.get(fixed.unpack_from(body)[0])
            old_name, new_name = two_names(body, fixed.size)
            yield from self._name(node, old_name)
            yield from self._name(other, new_name)
            if isinstance(node, Directory):
                yield from self._content(node.children.get(old_name))

    def _name(
        self, parent: Node | None, name: bytes, *, is_made: bool = True
    ) -> Iterator[Question]:
        """Yield what finding ``name``, and making it, asks."""
        if not isinstance(parent, Directory):
            return
        child = parent.children.get(name)
        if child is not None:
            yield from (partial(_stat, *at) for at in self._places(child))
        for layer in parent.lowers:
            if layer in self._remote and (child is None or is_made):
                yield partial(_stat, *self._place(parent, layer, name))
        if is_made and not parent.has_upper:
            yield from (partial(_list_xattrs, *at) for at in self._places(parent))

    def _content(self, node: Node | None) -> Iterator[Question]:
        """Yield what opening a file asks, to read it or to copy it up."""
        if node is None:
            return
        ask = _open if stat.S_ISREG(node.kind) else _list_xattrs
        yield from (partial(ask, *at) for at in self._places(node))

    def _listing(self, node: Node, with_attributes: bool) -> Iterator[Question]:
        if not isinstance(node, Directory):
            return
        if self._union.listings.is_known(node) and not with_attributes:
            return
        for layer in node.lowers:
            if layer in self._remote:
                at = self._place(node, layer, b"")
                yield partial(_list, *at, with_attributes)

    def _totals(self) -> Iterator[Question]:
        stack = self._union.stack
        if stack.upper is None and stack.layers[0].is_remote:
            yield partial(os.fstatvfs, stack.layers[0].root_fd)

    def _places(self, node: Node) -> Iterable[Place]:
        """Return where ``node`` itself is, if that is in remote layers."""
        if node.flags & METACOPY:
            layer, path = self._union.data_places[node.nodeid]
            if layer in self._remote:
                yield self._union.stack.layers[layer].root_fd, path
        if node.layer not in self._remote:
            return
        if isinstance(node, Directory):
            yield self._place(node, node.layer, b"")
        elif node.parent is not None:
            yield self._place(node.parent, node.layer, node.name)

    def _place(self, directory: Directory, layer: int, name: bytes) -> Place:
        path = self._union.layer_path(directory, layer)
        joined = b"/".join(part for part in (path, name) if part)
        return self._union.stack.layers[layer].root_fd, joined or b"."


def _ask(questions: Iterable[Question]) -> None:
    for question in questions:
        with contextlib.suppress(OSError):  # the handler gets and tells it
            question()


def _stat(root_fd: int, path: bytes) -> None:
    os.stat(path, dir_fd=root_fd, follow_symlinks=False)


def _open(root_fd: int, path: bytes) -> None:
    os.close(os.open(path, _OPEN, dir_fd=root_fd))


def _list_xattrs(root_fd: int, path: bytes) -> None:
    _stat(root_fd, path)
    os.listxattr(b"/proc/self/fd/%d/%s" % (root_fd, path), follow_symlinks=False)


def _list(root_fd: int, path: bytes, with_attributes: bool) -> None:
    fd = os.open(path, _OPEN | os.O_DIRECTORY, dir_fd=root_fd)
    try:
        names = os.listdir(fd)
        if with_attributes:
            for name in names:
                with contextlib.suppress(OSError):
                    os.stat(name, dir_fd=fd, follow_symlinks=False)
    finally:
        os.close(fd)
