"""chmod(2), chown(2), truncate(2), utimensat(2): copied up first, then changed.

What the caller may do was checked by the kernel. What it leaves to us
(``FUSE_HANDLE_KILLPRIV_V2``) is to take setuid, setgid and capabilities away; the
upper's filesystem does most of that by itself.
"""

from __future__ import annotations

import errno
import os
import stat

from snapfs.file_syscalls import UTIME_OMIT, set_open_times, set_times
from snapfs.fuse.union.caller import Caller
from snapfs.fuse.union.data import Data
from snapfs.fuse.union.node import Directory, Node
from snapfs.fuse.union.writer import Writer
from snapfs.light_typing import Final

_SET_IDS: Final = stat.S_ISUID | stat.S_ISGID
_SETGID_ONLY: Final = stat.S_ISGID | stat.S_IXGRP


class SetAttributes:
    """What is to change; None: nothing.

    Attributes:
        mode: The permission bits.
        uid: The owner.
        gid: The group.
        size: The length of a regular file.
        atime_ns: The access time, or ``UTIME_NOW`` of :mod:`snapfs.file_syscalls`.
        mtime_ns: The modification time, likewise.
        kills_suidgid: A truncation takes the setuid and setgid bits away.
    """

    __slots__ = ("atime_ns", "gid", "kills_suidgid", "mode", "mtime_ns", "size", "uid")

    def __init__(
        self,
        *,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
        size: int | None = None,
        atime_ns: int | None = None,
        mtime_ns: int | None = None,
        kills_suidgid: bool = False,
    ) -> None:
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.size = size
        self.atime_ns = atime_ns
        self.mtime_ns = mtime_ns
        self.kills_suidgid = kills_suidgid

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to change: a chown(2) to the owner that there is."""
        wishes = (self.mode, self.uid, self.gid, self.size)
        return wishes == (None,) * 4 and self.atime_ns is None and self.mtime_ns is None


class Attributes:
    """Changes attributes."""

    __slots__ = ("_data", "_ownership", "_union", "_writer")

    def __init__(self, writer: Writer, data: Data) -> None:
        self._writer = writer
        self._union = writer.union
        self._data = data
        self._ownership = writer.union.options.ownership

    def set_attributes(
        self, node: Node, changes: SetAttributes, caller: Caller
    ) -> Node:
        """Change what ``changes`` says; return the node.

        Raises:
            OSError: EOPNOTSUPP, the mode of a symbolic link; EROFS; or from copying
                up and the upper's filesystem.
        """
        if changes.size is not None:
            changer = caller if changes.kills_suidgid else None
            self._data.truncate(node, changes.size, changer=changer)
        elif changes.is_empty and self._belongs_to_another(node, caller):
            return node
        else:
            self._writer.change(node)
        opened = self._union.open_files.get(node.nodeid)
        if opened is not None:
            self._change_open(opened, changes, caller)
            return node
        fd, name = self._place(node)
        if changes.uid is not None or changes.gid is not None or changes.is_empty:
            # Which takes set-id bits and capabilities away in any case.
            mode = None
            if caller.uid:
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                mode = _mode_without_setgid(status, caller)
            uid, gid = self._owner(changes)
            os.chown(name, uid, gid, dir_fd=fd, follow_symlinks=False)
            if mode is not None:
                os.chmod(name, mode, dir_fd=fd)
        if changes.mode is not None:
            if node.kind == stat.S_IFLNK:
                raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP), name)
            os.chmod(name, changes.mode & 0o7777, dir_fd=fd)
        if changes.atime_ns is not None or changes.mtime_ns is not None:
            set_times(fd, name, _wish(changes.atime_ns), _wish(changes.mtime_ns))
        self._writer.note_change(node)
        return node

    def _change_open(self, fd: int, changes: SetAttributes, caller: Caller) -> None:
        """Change a file of the upper that is open: faster than by its name."""
        if changes.uid is not None or changes.gid is not None or changes.is_empty:
            mode = _mode_without_setgid(os.fstat(fd), caller) if caller.uid else None
            os.fchown(fd, *self._owner(changes))
            if mode is not None:
                os.fchmod(fd, mode)
        if changes.mode is not None:
            os.fchmod(fd, changes.mode & 0o7777)
        if changes.atime_ns is not None or changes.mtime_ns is not None:
            set_open_times(fd, _wish(changes.atime_ns), _wish(changes.mtime_ns))

    def _belongs_to_another(self, node: Node, caller: Caller) -> bool:
        """Tell whether ``caller`` may not take the set-id bits of a file away.

        It need not have tried: the kernel sends the same before a change of data.
        """
        status = self._union.status(node)[0]
        if node.kind == stat.S_IFDIR or not status.st_mode & _SET_IDS:
            return False
        owner, _ = self._ownership.shown(status.st_uid, status.st_gid)
        return caller.uid != owner and not caller.has_fowner()

    def _place(self, node: Node) -> tuple[int, bytes]:
        if isinstance(node, Directory):
            # By itself: the root has no name, a removed one must not name another.
            return self._union.directory_fd(node, 0), b"."
        return self._union.place(node)

    def _owner(self, changes: SetAttributes) -> tuple[int, int]:
        """Return the owner and the group to set; -1 leaves one as it is."""
        uid, gid = changes.uid, changes.gid
        if not self._ownership.is_identity:
            stored = self._ownership.stored(uid or 0, gid or 0)
            uid = None if uid is None else stored[0]
            gid = None if gid is None else stored[1]
        return -1 if uid is None else uid, -1 if gid is None else gid


def _mode_without_setgid(status: os.stat_result, caller: Caller) -> int | None:
    """Return the mode to set where a change by us would leave a setgid bit.

    The kernel keeps the bit of a file that its group cannot execute if the caller
    is of the group (``setattr_should_drop_sgid``); it takes us for the caller.
    """
    mode = status.st_mode
    if not stat.S_ISREG(mode) or mode & _SETGID_ONLY != stat.S_ISGID:
        return None
    if status.st_gid in caller.groups():
        return None
    return stat.S_IMODE(mode) & ~(stat.S_ISGID | stat.S_ISUID)


def _wish(time_ns: int | None) -> int:
    return UTIME_OMIT if time_ns is None else time_ns
