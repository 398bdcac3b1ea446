"""Messages to the kernel that answer no request.

A notification may wait for a lock of the kernel that a caller holds who waits for
our answer: a directory's for INVAL_ENTRY and DELETE, a page's for INVAL_INODE and
STORE. So it must never be sent by the thread that answers requests, nor with the
session's lock held: :meth:`Session.after_reply` runs callables where it is safe.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from struct import pack

from snapfs.fuse.wire import InvalEntryFlag, NotifyCode
from snapfs.fuse.wire.structs import (
    NOTIFY_DELETE,
    NOTIFY_INVAL_ENTRY,
    NOTIFY_INVAL_INODE,
    NOTIFY_POLL,
    NOTIFY_PRUNE,
    NOTIFY_RETRIEVE,
    NOTIFY_STORE,
    OUT_HEADER,
)
from snapfs.light_typing import Final

_EXPIRE_ONLY: Final = int(InvalEntryFlag.EXPIRE_ONLY)
# fuse_notify_prune() works them off in chunks; 1024 node ids fit every buffer.
_PRUNED_AT_ONCE: Final = 1024


class Notifier:
    """Sends notifications to the kernel of one session.

    Each method raises ``OSError``: EINVAL where the kernel does not know the
    notification yet, ENODEV when the filesystem is gone.
    """

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def invalidate_inode(self, nodeid: int, offset: int = 0, length: int = 0) -> bool:
        """Drop cached attributes and pages; False if the kernel does not know it.

        ``length`` 0 reaches to the end; an ``offset`` below 0 drops no pages.
        """
        payload = NOTIFY_INVAL_INODE.pack(nodeid, offset, length)
        return self._send(NotifyCode.INVAL_INODE, payload)

    def invalidate_entry(self, parent: int, name: bytes) -> bool:
        """Drop a cached name, found or not; False if the kernel does not know it."""
        payload = NOTIFY_INVAL_ENTRY.pack(parent, len(name), 0)
        return self._send(NotifyCode.INVAL_ENTRY, payload, name, b"\0")

    def expire_entry(self, parent: int, name: bytes) -> bool:
        """Have a cached name looked up again before its next use, and keep it.

        With HAS_EXPIRE_ONLY. False if the kernel does not know the name.
        """
        payload = NOTIFY_INVAL_ENTRY.pack(parent, len(name), _EXPIRE_ONLY)
        return self._send(NotifyCode.INVAL_ENTRY, payload, name, b"\0")

    def delete(self, parent: int, child: int, name: bytes) -> bool:
        """Tell that ``child`` is no longer at ``name``: watchers see a deletion.

        False if the kernel does not know the name, it is another node's (the cached
        name is dropped all the same), is mounted on, or is a directory in use.
        """
        payload = NOTIFY_DELETE.pack(parent, child, len(name))
        return self._send(NotifyCode.DELETE, payload, name, b"\0")

    def store(self, nodeid: int, offset: int, data: bytes | memoryview) -> bool:
        """Put data into the page cache; False if the kernel does not know the node."""
        payload = NOTIFY_STORE.pack(nodeid, offset, len(data))
        return self._send(NotifyCode.STORE, payload, data)

    def retrieve(self, notify_unique: int, nodeid: int, offset: int, size: int) -> bool:
        """Ask for cached data, which comes as a NOTIFY_REPLY of that unique."""
        payload = NOTIFY_RETRIEVE.pack(notify_unique, nodeid, offset, size)
        return self._send(NotifyCode.RETRIEVE, payload)

    def wake_poll(self, kh: int) -> bool:
        """Wake those who poll the file of that kernel handle."""
        return self._send(NotifyCode.POLL, NOTIFY_POLL.pack(kh))

    def resend(self) -> bool:
        """Have every request that was read but not answered come again.

        For a process that takes a session over; with HAS_RESEND.
        """
        return self._send(NotifyCode.RESEND)

    def increment_epoch(self) -> bool:
        """Have every cached name looked up again before its next use."""
        return self._send(NotifyCode.INC_EPOCH)

    def prune(self, nodeids: Iterable[int]) -> bool:
        """Have the kernel forget those of the nodes that nobody uses."""
        wanted = list(nodeids)
        for start in range(0, len(wanted), _PRUNED_AT_ONCE):
            chunk = wanted[start : start + _PRUNED_AT_ONCE]
            payload = NOTIFY_PRUNE.pack(len(chunk))
            self._send(NotifyCode.PRUNE, payload, pack(f"<{len(chunk)}Q", *chunk))
        return True

    def _send(self, code: NotifyCode, *parts: bytes | memoryview) -> bool:
        length = OUT_HEADER.size + sum(map(len, parts))
        try:
            os.writev(self._fd, (OUT_HEADER.pack(length, code, 0), *parts))
        except OSError as error:
            if error.errno in _UNKNOWN_TO_KERNEL:
                return False
            raise
        return True


# fuse_reverse_inval_entry() and fuse_reverse_inval_inode(): not cached, so there is
# nothing to drop; or, for DELETE, in use.
_UNKNOWN_TO_KERNEL: Final = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.ENOTEMPTY, errno.EBUSY}
)
