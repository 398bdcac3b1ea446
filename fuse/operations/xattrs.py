"""Extended attributes, POSIX ACLs among them."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from functools import partial

from snapfs.fuse.operations.context import Context, caller_of
from snapfs.fuse.operations.provenance import SPACE, provenance
from snapfs.fuse.session import Handler, Reply, Request
from snapfs.fuse.union.caller import Caller
from snapfs.fuse.union.node import PLAIN, Node
from snapfs.fuse.wire import InitFlag, Opcode, SetxattrFlag, structs
from snapfs.light_typing import Final

_ENODATA: Final = -errno.ENODATA
_EPERM: Final = -errno.EPERM
_SPACES: Final = (b"security.", b"user.", b"trusted.")
_ACL_SPACE: Final = b"system.posix_acl_"
_ERANGE: Final = -errno.ERANGE
_CAPABILITIES: Final = b"security.capability"
_LABEL: Final = b"security.selinux"
_SELINUX: Final = "/sys/fs/selinux"
"""There while the kernel runs SELinux (``sel_init``, security/selinux/selinuxfs.c)."""
_ACL_KILL_SGID: Final = int(SetxattrFlag.ACL_KILL_SGID)


class XattrOperations:
    """The handlers of extended attributes.

    Where there are none and none can come, ENOSYS has the kernel not ask again: it
    would do so for each file of an ``ls -l`` and for each exec.

    A file without a label of SELinux has no ENODATA, but EOPNOTSUPP, where no SELinux
    runs: ``ls -l`` then asks for no other file's. FUSE keeps no answers to GETXATTR, so
    that each of these questions would be a message. A label that is there is told.
    """

    __slots__ = ("_context", "_no_label", "_spaces", "_tells", "_union")

    def __init__(self, context: Context) -> None:
        self._context = context
        self._union = context.union
        self._tells = context.config.has_provenance
        self._spaces = (*_SPACES, _ACL_SPACE) if context.config.has_acls else _SPACES
        has_labels = os.path.isdir(_SELINUX)
        self._no_label = _ENODATA if has_labels else -errno.EOPNOTSUPP

    def handlers(self) -> Mapping[Opcode, Handler]:
        """Return the handlers by operation."""
        config = self._context.config
        if not config.has_xattrs:
            return {}
        reading: dict[Opcode, Handler] = {
            Opcode.GETXATTR: self.get_xattr,
            Opcode.LISTXATTR: self.list_xattrs,
        }
        if self._context.is_read_only:
            has_any = self._tells or self._union.may_have_xattrs
            return reading if has_any else {}
        return {
            **reading,
            Opcode.SETXATTR: self.set_xattr,
            Opcode.REMOVEXATTR: self.remove_xattr,
        }

    def get_xattr(self, request: Request) -> Reply:
        """Answer with a value, or its size."""
        body = request.body
        (size,) = structs.GETXATTR_IN.unpack_from(body)
        name = body[structs.GETXATTR_IN.size :].tobytes()[:-1]
        context = self._context
        node = context.node(request.nodeid)
        if name == _CAPABILITIES and node.flags & PLAIN:
            return _ENODATA  # asked for by each chown(2), too
        if self._tells and name.startswith(SPACE):
            return _sized(provenance(self._union, node, name), size)
        # Asked for at each first write and by each ls -l, and nearly never there.
        # A bare "user." is EINVAL, as the layer's filesystem says.
        if (
            name.startswith(self._spaces)
            and name[-1:] != b"."
            and (self._union.is_plain(node))
        ):
            return self._no_label if name == _LABEL else _ENODATA
        try:
            value = self._union.get_xattr(node, name, caller_of(request))
        except OSError as error:
            if name == _LABEL and error.errno == errno.ENODATA:
                return self._no_label
            raise
        return _sized(value, size)

    def list_xattrs(self, request: Request) -> Reply:
        """Answer with the names, each NUL-terminated, or their size."""
        (size,) = structs.GETXATTR_IN.unpack_from(request.body)
        context = self._context
        node = context.node(request.nodeid)
        names = self._union.list_xattrs(node, caller_of(request))
        return _sized(b"".join([name + b"\0" for name in names]), size)

    def set_xattr(self, request: Request) -> Reply:
        """Set a value."""
        body = request.body
        is_extended = self._is_extended()
        fixed = structs.SETXATTR_IN_EXT if is_extended else structs.SETXATTR_IN
        size, flags, *further = fixed.unpack_from(body)
        name, _, rest = body[fixed.size :].tobytes().partition(b"\0")
        if self._tells and name.startswith(SPACE):
            return _EPERM
        kills_sgid = bool(further and further[0] & _ACL_KILL_SGID)
        node = self._context.node(request.nodeid)
        unique = request.unique
        change = partial(self._set, node, name, rest[:size], flags, kills_sgid, unique)
        return self._context.changing(node, change)

    def _set(
        self,
        node: Node,
        name: bytes,
        value: bytes,
        flags: int,
        kills_sgid: bool,
        unique: int,
    ) -> Reply:
        self._context.changes.set_xattr(
            node, name, value, flags, kills_sgid=kills_sgid, unique=unique
        )
        return b""

    def remove_xattr(self, request: Request) -> Reply:
        """Take an attribute away; nothing is copied for one that is not there."""
        name = request.body.tobytes()[:-1]
        if self._tells and name.startswith(SPACE):
            return _EPERM
        context = self._context
        node = context.node(request.nodeid)
        caller = caller_of(request)
        if node.layer:
            self._union.get_xattr(node, name, caller)
        if name == _CAPABILITIES:
            self._union.uncapped[request.nodeid] = caller.pid
            self._union.nodes.log.uncapped(request.unique, request.nodeid, caller.pid)
        change = partial(self._remove, node, name, request.unique, caller)
        return context.changing(node, change)

    def _remove(self, node: Node, name: bytes, unique: int, caller: Caller) -> Reply:
        self._context.changes.remove_xattr(node, name, unique, changer=caller)
        return b""

    def _is_extended(self) -> bool:
        negotiated = self._context.session.negotiated
        return negotiated is not None and negotiated.has(InitFlag.SETXATTR_EXT)


def _sized(value: bytes, size: int) -> Reply:
    if size == 0:
        return structs.XATTR_SIZE_OUT.pack(len(value))
    return value if len(value) <= size else _ERANGE
