"""What the handlers of one mount share."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from functools import partial

from snapfs.fuse.mount_config import MountConfig
from snapfs.fuse.operations.replies import Replies
from snapfs.fuse.session import Later, Reply, Request
from snapfs.fuse.union.caller import Caller
from snapfs.fuse.union.copy_up import LARGE_FILE
from snapfs.fuse.union.node import DETACHED, METACOPY, Directory, Node
from snapfs.fuse.union.union import Union
from snapfs.light_typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from snapfs.fuse.operations.opens import Opens
    from snapfs.fuse.session import Session
    from snapfs.fuse.union.changes import Changes

ENOSYS: Final = -errno.ENOSYS
EROFS: Final = -errno.EROFS
ESTALE: Final = -errno.ESTALE
ENOTDIR: Final = -errno.ENOTDIR

_REGULAR: Final = stat.S_IFREG
_DIRECTORY: Final = stat.S_IFDIR


class Context:
    """The parts of one mount.

    Attributes:
        union: The tree.
        changes: What changes it, and reads and writes contents.
        is_read_only: Nothing may change.
        replies: Packs attributes.
        config: What the mount is to be.
        opens: The files that are open, in the mode ``io``; None in ``fast``.
    """

    __slots__ = (
        "_node_of",
        "_session",
        "changes",
        "config",
        "is_read_only",
        "opens",
        "replies",
        "union",
    )

    def __init__(
        self,
        union: Union,
        changes: Changes,
        config: MountConfig,
        *,
        is_read_only: bool,
    ) -> None:
        self.union = union
        self._node_of = union.nodes.get
        self.changes = changes
        self.is_read_only = is_read_only
        self.config = config
        self.replies = Replies(
            config.timeout_s,
            union.options.ownership,
            has_static_nlink=config.has_static_nlink,
        )
        self.opens: Opens | None = None
        self._session: Session | None = None

    def attach(self, session: Session) -> None:
        """Say which session serves the mount; before its first request."""
        self._session = session
        if not self.is_read_only:
            self.changes.copy_up.on_copied = self._node_copied
            self.changes.copy_up.on_parted = self._node_parted

    def _node_copied(self, node: Node) -> None:
        self.changes.data.node_copied(node)
        if self.opens is not None and node.kind == _REGULAR:
            self._part_from_open(self.opens, node)
        if node.kind == _DIRECTORY:
            # One that is merged now shows another link count. Attributes alone: the
            # kernel takes no lock for them that a caller may hold, so that it can be
            # told before the reply (fuse_reverse_inval_inode).
            self.session.notifier.invalidate_inode(node.nodeid, -1)

    def _node_parted(self, node: Node) -> None:
        """Have the kernel ask for the number and link count of a copy of its own.

        Before the reply, since who opened the file looks at once. The directory's
        kept listing has the number, too; nobody waits for us with its pages locked.
        """
        notifier = self.session.notifier
        notifier.invalidate_inode(node.nodeid, -1)
        if node.parent is not None and not node.flags & DETACHED:
            notifier.invalidate_inode(node.parent.nodeid)

    def _part_from_open(self, opens: Opens, node: Node) -> None:
        """Have what is open stay with the lower file, and names lead to the copy."""
        if not opens.is_open(node):
            opens.content_changed(node)
            return
        if node.flags & DETACHED:
            return  # no name leads to either
        former = node.nodeid
        self.union.nodes.renumber(node)
        # What the kernel knows of the old number is not told of changes any more.
        self.session.notifier.invalidate_inode(former, -1)

    @property
    def session(self) -> Session:
        """The session that serves the mount."""
        assert self._session is not None
        return self._session

    def node(self, nodeid: int) -> Node:
        """Return a node that a request names.

        Raises:
            OSError: ESTALE: the kernel should not know it.
        """
        node = self._node_of(nodeid)
        if node is None:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return node

    def directory(self, nodeid: int) -> Directory:
        """Return a directory that a request names.

        Raises:
            OSError: ESTALE, as above; ENOTDIR.
        """
        node = self.node(nodeid)
        if not isinstance(node, Directory):
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        return node

    def changing(
        self, node: Node, change: Callable[[], Reply], size: int | None = None
    ) -> Reply:
        """Answer with what ``change`` returns, after the copy-up of ``node``.

        Copying much, and waiting for the disk to have the copy, is a worker's: other
        requests go on meanwhile.

        Args:
            node: What is about to be changed.
            change: Makes the change; with the lock.
            size: What the file is about to be truncated to, if it is.
        """
        if not self.copies_long(node, size):
            return change()
        return Later(partial(self._copy_and_change, node, change, size), node.nodeid)

    def copies_long(self, node: Node, size: int | None = None) -> bool:
        """Tell whether a change of ``node`` takes a copy-up that others must not await.

        Large ones are such, and those that wait for a disk that is not quick.
        """
        if node.kind != _REGULAR or (node.layer == 0 and not node.flags & METACOPY):
            return False
        if size == 0:
            return False
        if not self.changes.copy_up.settler.is_quick:
            return True
        if size is None:
            size = self.union.lower_size(node)
        return size >= LARGE_FILE

    def copy_up(self, node: Node, size: int | None = None) -> None:
        """Copy a regular file up; from a task, without the lock."""
        session = self.session
        with session.lock:
            copy = self.changes.copy_up.begin(node, truncate_to=size)
        if copy is None:
            return
        try:
            copy.copy(session.is_interrupted)
            with session.lock:
                self.changes.copy_up.publish_copy(node, copy)
        finally:
            with session.lock:
                copy.abandon()

    def _copy_and_change(
        self, node: Node, change: Callable[[], Reply], size: int | None
    ) -> Reply:
        self.copy_up(node, size)
        with self.session.lock:
            return change()

    def entry(self, node: Node, unique: int) -> bytes:
        """Return the reply that names ``node``; the kernel then refers to it."""
        status, ino, nlink = self.union.status(node)
        self.union.nodes.reference(node, unique)
        return self.replies.entry(node.nodeid, status, ino, nlink)

    def made(self, node: Node, unique: int) -> bytes:
        """Return the reply that names ``node``, just made; its status is known."""
        union = self.union
        status = union.found_status
        union.nodes.reference(node, unique)
        return self.replies.entry(
            node.nodeid, status, node.ino, union.shown_nlink(node, status)
        )


def caller_of(request: Request, umask: int = 0) -> Caller:
    """Return who makes a request; identities are those that the mount shows."""
    return Caller(request.uid, request.gid, request.pid, umask)


def two_names(body: memoryview, start: int) -> tuple[bytes, bytes]:
    """Return the two NUL-terminated strings from ``start`` on."""
    first, _, rest = body[start:].tobytes().partition(b"\0")
    return first, rest[:-1]
