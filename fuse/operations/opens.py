"""Which files the kernel has open in the mode ``io``, and the backing ids they use.

The kernel reads and writes such a file itself (``FOPEN_PASSTHROUGH``). Its rules
(``fs/fuse/iomode.c``): while an inode is open so, each further open must name the
same backing id, and none may go through the page cache; else the caller gets EIO. So
an id belongs to one number of a node and to one content, and one that was opened
through the cache stays so until it is closed.

A backing id is a path and our credentials: the kernel opens it anew with each opener's
flags. The id of a lower file must never answer an open for writing.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections import OrderedDict
from collections.abc import Iterator

from snapfs.fuse.union.node import METACOPY, Node
from snapfs.fuse.wire import OpenFlag, structs
from snapfs.fuse.wire.ioctls import BACKING_CLOSE, BACKING_ID, BACKING_MAP, BACKING_OPEN
from snapfs.light_typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from snapfs.fuse.union.union import Union

_NONE: Final = 0
PASSED_BYTES: Final = 256 << 10
"""Smaller lower files are read by the server: a copy-up then needs no new number, so
that locks, mappings and readers from before it stay with the file."""
_SET_ID: Final = stat.S_ISUID | stat.S_ISGID
"""The kernel writes past us as ourselves, which takes these bits away from no file."""
_KEPT_IDS: Final = 1024
"""Ids of files that nobody has open: the next open costs no ioctl."""

_PASSED: Final = int(OpenFlag.PASSTHROUGH | OpenFlag.NOFLUSH)
_DIRECT: Final = int(OpenFlag.PASSTHROUGH | OpenFlag.DIRECT_IO)
_UNCACHED: Final = structs.OPEN_OUT.pack(0, int(OpenFlag.NOFLUSH), _NONE)
_CACHED: Final = structs.OPEN_OUT.pack(
    0, int(OpenFlag.NOFLUSH | OpenFlag.KEEP_CACHE), _NONE
)


class Opens:
    """Open files by the number under which the kernel opened them.

    Attributes:
        log: Is told of every change.

    Args:
        union: Whose files.
        device_fd: The connection; its ids end with it.
    """

    __slots__ = ("_counts", "_device", "_ids", "_lower", "_union", "_unused", "log")

    def __init__(self, union: Union, device_fd: int) -> None:
        self.log = OpensLog()
        self._union = union
        self._device = device_fd
        self._counts: dict[int, int] = {}
        self._ids: dict[int, int] = {}  # _NONE: open through the page cache
        self._lower: set[int] = set()  # whose id is that of a lower file
        self._unused: OrderedDict[int, None] = OrderedDict()
        union.nodes.on_drop.append(self._node_dropped)
        union.nodes.on_former_dropped = self._forget

    def is_open(self, node: Node) -> bool:
        """Say whether ``node`` is open, under its present number, by passthrough."""
        return self._ids.get(node.nodeid, _NONE) != _NONE and (
            node.nodeid in self._counts
        )

    def open(self, node: Node, unique: int, *, is_writing: bool) -> bytes:
        """Return the reply to ``unique``, which opens ``node``; a RELEASE follows.

        Raises:
            OSError: ESTALE, it was copied up and its lower file is open still; or from
                opening the file.
        """
        nodeid = node.nodeid
        if is_writing and (nodeid in self._lower or _is_lower(node)):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), node.name)
        backing = self._ids.get(nodeid)
        if backing is None:
            backing = self._ids[nodeid] = self._register(node)
            self.log.backing(nodeid, backing, is_lower=nodeid in self._lower)
        is_first = nodeid not in self._counts
        self._count(nodeid, unique)
        if backing == _NONE:
            # An upper file may have been changed past the page cache before.
            return _UNCACHED if is_first and not _is_lower(node) else _CACHED
        return structs.OPEN_OUT.pack(0, _PASSED, backing)

    def open_former(self, nodeid: int, unique: int) -> bytes | None:
        """Return the reply to ``unique``: opens a number that was left, if it is open.

        Reads come to the server, which reads the copy; only a mapping shows the file
        that was copied, as on kernel overlayfs.
        """
        backing = self._ids.get(nodeid, _NONE)
        if backing == _NONE:
            return None
        self._count(nodeid, unique)
        return structs.OPEN_OUT.pack(0, _DIRECT, backing)

    def released(self, nodeid: int, unique: int) -> None:
        """Note that one open of ``nodeid`` has ended, by the message ``unique``."""
        self.log.released(unique, nodeid)
        count = self._counts.get(nodeid, 0) - 1
        if count > 0:
            self._counts[nodeid] = count
            return
        self._counts.pop(nodeid, None)
        if self._ids.get(nodeid, _NONE) == _NONE:
            self._forget(nodeid)
            return
        unused = self._unused
        unused[nodeid] = None
        if len(unused) > _KEPT_IDS:
            self._forget(next(iter(unused)))

    def content_changed(self, node: Node) -> None:
        """Note that ``node`` is another file now, and is not open by passthrough."""
        if node.nodeid not in self._counts:
            self._forget(node.nodeid)

    # Set-id bits may have come: the next open looks at them.
    mode_changed = content_changed

    # For a server that takes a mount over from one that died.

    def state(self) -> Iterator[tuple[int, int, int, bool]]:
        """Yield number, opens, backing id and whether that is a lower file's."""
        for nodeid, backing in self._ids.items():
            is_lower = nodeid in self._lower
            yield nodeid, self._counts.get(nodeid, 0), backing, is_lower

    def put_back(self, nodeid: int, count: int, backing: int, is_lower: bool) -> None:
        """Take in what :meth:`state` yielded; nothing is told to the log."""
        self._ids[nodeid] = backing
        if is_lower:
            self._lower.add(nodeid)
        if count > 0:
            self._counts[nodeid] = count
        else:
            self._unused[nodeid] = None

    def _count(self, nodeid: int, unique: int) -> None:
        self.log.opened(unique, nodeid)
        self._counts[nodeid] = self._counts.get(nodeid, 0) + 1
        self._unused.pop(nodeid, None)

    def _register(self, node: Node) -> int:
        """Return a backing id for ``node``; _NONE where the server is to serve it."""
        is_lower = _is_lower(node)
        fd = self._union.open_data(node, os.O_PATH)
        try:
            status = os.fstat(fd)
            if (is_lower and status.st_size < PASSED_BYTES) or status.st_mode & _SET_ID:
                return _NONE
            backing = register(self._device, fd)
        except OSError:
            # A filesystem that cannot be passed through to (ELOOP: it is stacked on
            # others) is read by the server.
            return _NONE
        finally:
            os.close(fd)
        if is_lower:
            self._lower.add(node.nodeid)
        return backing

    def _node_dropped(self, node: Node) -> None:
        if node.nodeid in self._ids:
            self._forget(node.nodeid)

    def _forget(self, nodeid: int) -> None:
        self._counts.pop(nodeid, None)
        self._unused.pop(nodeid, None)
        self._lower.discard(nodeid)
        backing = self._ids.pop(nodeid, None)
        if backing is None:
            return
        self.log.backing(nodeid, -1, is_lower=False)
        if backing != _NONE:
            unregister(self._device, backing)


class OpensLog:
    """Forgets what it is told of open files; see :mod:`snapfs.fuse.recovery`."""

    __slots__ = ()

    def backing(self, nodeid: int, backing: int, *, is_lower: bool) -> None:
        """Note how a number is opened: a backing id; 0, the cache; -1, no more."""

    def opened(self, unique: int, nodeid: int) -> None:
        """Note one open more, which the kernel has by the reply to ``unique``."""

    def released(self, unique: int, nodeid: int) -> None:
        """Note one open less, which ``unique`` has told."""


def _is_lower(node: Node) -> bool:
    return bool(node.layer or node.flags & METACOPY)


def register(device_fd: int, fd: int) -> int:
    """Have the kernel know the file ``fd`` for passthrough; return its backing id.

    Raises:
        OSError: EPERM, without CAP_SYS_ADMIN in the initial user namespace, or for a
            connection without passthrough; ELOOP, it is on too many filesystems;
            EINVAL, it is no regular file.
    """
    # Only for a mutable buffer the answer of ioctl(2) itself is returned.
    return int(fcntl.ioctl(device_fd, BACKING_OPEN, bytearray(BACKING_MAP.pack(fd, 0))))


def unregister(device_fd: int, backing: int) -> None:
    """Have the kernel forget a backing id; what is open with it stays so.

    Raises:
        OSError: ENOENT, there is no such id.
    """
    fcntl.ioctl(device_fd, BACKING_CLOSE, bytearray(BACKING_ID.pack(backing)))
