"""setxattr(2) and removexattr(2): copied up first; overlayfs's own names escaped.

What a caller sets as ``trusted.overlay.X`` is not a mark of this mount: it is stored
as ``trusted.overlay.overlay.X``, as nested overlayfs needs it (``ovl_own_xattr_set``
in ``fs/overlayfs/xattrs.c``).
"""

from __future__ import annotations

import errno
import os
import stat

from snapfs.fuse.union.acl import ACCESS, DEFAULT
from snapfs.fuse.union.no_log import INTEND_XATTR
from snapfs.fuse.union.node import DRESSED, PLAIN, Node
from snapfs.fuse.union.set_ids import Changer, loses_setgid
from snapfs.fuse.union.writer import Writer, read_only
from snapfs.light_typing import Final
from snapfs.overlay_marks import path_of

_NAME_MAX: Final = 255  # XATTR_NAME_MAX
_ESCAPE: Final = b"overlay."
_ACLS: Final = frozenset((ACCESS, DEFAULT))
_UNKNOWN: Final = ~(PLAIN | DRESSED)


class XattrSetter:
    """Changes extended attributes."""

    __slots__ = ("_has_acls", "_own", "_union", "_writer")

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._union = writer.union
        self._own = writer.union.stack.prefix.attribute("").encode()
        self._has_acls = not writer.union.options.is_noacl

    def set_xattr(
        self,
        node: Node,
        name: bytes,
        value: bytes,
        flags: int = 0,
        *,
        kills_sgid: bool = False,
        unique: int = 0,
    ) -> Node:
        """Set an attribute, with ``XATTR_CREATE`` or ``XATTR_REPLACE``.

        The copy-up comes first, also where the filesystem then refuses the attribute:
        as with overlayfs.

        Args:
            node: Of any kind.
            name: As the caller says it.
            value: The value.
            flags: Of setxattr(2).
            kills_sgid: A new access ACL takes the setgid bit away.
            unique: Of the request.

        Raises:
            OSError: EOPNOTSUPP, EPERM, EEXIST, ENODATA, ENOSPC, ERANGE, EROFS ...
        """
        stored = self._stored(name)
        self._writer.change(node)
        path = self._path(node)
        if self._union.budget is not None:
            self._union.budget.take_xattr(len(value))
        if flags & os.XATTR_CREATE and not _exists(path, stored):
            self._union.nodes.log.intend(INTEND_XATTR, unique)
        os.setxattr(path, stored, value, flags, follow_symlinks=False)
        node.flags &= _UNKNOWN
        if kills_sgid and name == ACCESS:
            self._drop_setgid(node)
        self._writer.note_change(node)
        return node

    def remove_xattr(
        self,
        node: Node,
        name: bytes,
        unique: int = 0,
        *,
        changer: Changer | None = None,
    ) -> Node:
        """Remove an attribute; nothing is copied up for one that is not there.

        ``changer``: who asks, and may take the setgid bit away with an access ACL
        (``ovl_set_or_remove_acl``).

        Raises:
            OSError: ENODATA, it is not set; EOPNOTSUPP, EPERM, EROFS ...
        """
        stored = self._stored(name)
        if self._writer.is_readonly:
            raise read_only()
        if node.layer:
            os.getxattr(self._path(node), stored, follow_symlinks=False)
            self._writer.change(node)
        path = self._path(node)
        if _exists(path, stored):
            self._union.nodes.log.intend(INTEND_XATTR, unique)
        os.removexattr(path, stored, follow_symlinks=False)
        node.flags &= _UNKNOWN
        if name == ACCESS and changer is not None:
            fd, entry = self._union.place(node)
            status = os.stat(entry, dir_fd=fd, follow_symlinks=False)
            if loses_setgid(status, changer):
                self._drop_setgid(node)
        self._writer.note_change(node)
        return node

    def _stored(self, name: bytes) -> bytes:
        if name in _ACLS and not self._has_acls:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP), name)
        if not name.startswith(self._own):
            return name
        stored = self._own + _ESCAPE + name[len(self._own) :]
        if len(stored) > _NAME_MAX:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP), name)
        return stored

    def _path(self, node: Node) -> bytes:
        return path_of(*self._union.place(node))

    def _drop_setgid(self, node: Node) -> None:
        fd, name = self._union.place(node)
        mode = os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode
        if mode & stat.S_ISGID:
            os.chmod(name, stat.S_IMODE(mode) & ~stat.S_ISGID, dir_fd=fd)


def _exists(path: bytes, name: bytes) -> bool:
    try:
        os.getxattr(path, name, follow_symlinks=False)
    except OSError:
        return False
    return True
