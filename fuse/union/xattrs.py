"""Extended attributes as callers of the mount see them.

overlayfs's own are hidden. Those of that name which a caller sets are kept one level
down, ``trusted.overlay.overlay.x`` for ``trusted.overlay.x``, so that an overlay on the
mount has marks of its own (``fs/overlayfs/xattrs.c``).
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable

from snapfs.file_syscalls import list_xattrs_at
from snapfs.fuse.union import acl
from snapfs.fuse.union.node import DRESSED, PLAIN
from snapfs.light_typing import TYPE_CHECKING, Final, Protocol
from snapfs.overlay_marks import path_of

if TYPE_CHECKING:
    from snapfs.fuse.union.node import Node
    from snapfs.fuse.union.union import Union

_TRUSTED: Final = b"trusted."
_ESCAPE: Final = b"overlay."
_ACLS: Final = frozenset((acl.ACCESS, acl.DEFAULT))
# Tag, permissions, identity; before the first entry stands a 32-bit version.
_ACL_ENTRY: Final = struct.Struct("<HHI")
_KNOWN: Final = PLAIN | DRESSED
_ACL_HEADER_SIZE: Final = 4
_ACL_USER: Final = 0x02
_ACL_GROUP: Final = 0x08


class Caller(Protocol):
    """Who asks."""

    def has_admin(self) -> bool:
        """Tell whether it has CAP_SYS_ADMIN in the initial user namespace."""


def stored_name(name: bytes, prefix: str) -> bytes:
    """Return the name under which the layers keep what callers know as ``name``."""
    private = prefix.encode() + _ESCAPE
    if name.startswith(private):
        return private + _ESCAPE + name[len(private) :]
    return name


def shown_name(name: bytes, prefix: str) -> bytes | None:
    """Return what callers know an attribute of a layer as; None for overlayfs's own."""
    private = prefix.encode() + _ESCAPE
    if not name.startswith(private):
        return name
    rest = name[len(private) :]
    return private + rest[len(_ESCAPE) :] if rest.startswith(_ESCAPE) else None


def get(union: Union, node: Node, name: bytes, caller: Caller) -> bytes:
    """Return the value of an attribute.

    Raises:
        OSError: ENODATA: it is not set, or not for this caller to see; ENOTSUP: not
            in this mount or filesystem; otherwise from getxattr(2).
    """
    options = union.options
    if name in _ACLS and options.is_noacl:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP), name)
    if name.startswith(_TRUSTED) and not caller.has_admin():
        raise OSError(errno.ENODATA, os.strerror(errno.ENODATA), name)
    path = path_of(*union.place(node))
    attribute = stored_name(name, options.prefix)
    value = os.getxattr(path, attribute, follow_symlinks=False)
    if name in _ACLS and not options.ownership.is_identity:
        return map_acl(value, options.ownership.shown)
    return value


def is_plain(union: Union, node: Node) -> bool:
    """Tell whether ``node`` has no attribute to be seen; asks the layer only once.

    Raises:
        OSError: From listxattr(2).
    """
    flags = node.flags
    if not flags & _KNOWN:
        node.flags |= PLAIN if _has_none(union, node) else DRESSED
        flags = node.flags
    return bool(flags & PLAIN)


def _has_none(union: Union, node: Node) -> bool:
    try:
        stored = list_xattrs_at(*union.place(node))
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return False  # and the error is for the caller
        raise
    prefix = union.options.prefix
    return all(shown_name(os.fsencode(name), prefix) is None for name in stored)


def names(union: Union, node: Node, caller: Caller) -> list[bytes]:
    """Return the names of all attributes that the caller may see.

    Raises:
        OSError: From listxattr(2).
    """
    path = path_of(*union.place(node))
    try:
        stored = os.listxattr(path, follow_symlinks=False)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return []
        raise
    if not stored:
        return []
    prefix = union.options.prefix
    shown = [shown_name(os.fsencode(name), prefix) for name in stored]
    hides_trusted = any(n and n.startswith(_TRUSTED) for n in shown) and (
        not caller.has_admin()
    )
    return [
        name
        for name in shown
        if name is not None
        and not (hides_trusted and name.startswith(_TRUSTED))
        and not (union.options.is_noacl and name in _ACLS)
    ]


def map_acl(value: bytes, owners: Callable[[int, int], tuple[int, int]]) -> bytes:
    """Return a POSIX ACL with its users and groups translated by ``owners``.

    What is no ACL (``linux/posix_acl_xattr.h``) is returned as it is.
    """
    if len(value) % _ACL_ENTRY.size != _ACL_HEADER_SIZE:
        return value
    mapped = [value[:_ACL_HEADER_SIZE]]
    for tag, allowed, identity in _ACL_ENTRY.iter_unpack(value[_ACL_HEADER_SIZE:]):
        if tag == _ACL_USER:
            identity = owners(identity, 0)[0]
        elif tag == _ACL_GROUP:
            identity = owners(0, identity)[1]
        mapped.append(_ACL_ENTRY.pack(tag, allowed, identity))
    return b"".join(mapped)
