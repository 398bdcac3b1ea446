"""How a union behaves: what a mount's options say, worked out."""

from __future__ import annotations

from snapfs.fuse.union.descriptors import DEFAULT_LIMIT
from snapfs.overlay_format import XattrPrefix


class Ownership:
    """How owners in the layers and owners in the mount translate; here: not at all."""

    __slots__ = ()

    is_identity = True

    def shown(self, uid: int, gid: int) -> tuple[int, int]:
        """Return the owner that callers see for one in a layer."""
        return uid, gid

    def stored(self, uid: int, gid: int) -> tuple[int, int]:
        """Return the owner to write to the upper for one that a caller named."""
        return uid, gid


class UnionOptions:
    """How a union behaves.

    Attributes:
        is_readonly: Nothing is changed, also where there is an upper.
        is_volatile: Nothing is synced.
        write_redirects: Lower directories are renamed by a redirect, else EXDEV.
        follow_redirects: Redirects in the layers are followed, else EPERM.
        follow_metacopy: Files of attributes alone are completed from below.
        prefix: Where the marks are.
        ownership: The translation of owners.
        is_noacl: POSIX ACLs are neither shown nor kept.
        is_xino: Inode numbers of several filesystems are told apart.
        descriptor_limit: Open directories at a time.
        listing_limit: Entries of directories kept in memory.
        max_bytes: What upperdir and workdir may occupy; 0 for any.
    """

    __slots__ = (
        "descriptor_limit",
        "follow_metacopy",
        "follow_redirects",
        "is_noacl",
        "is_readonly",
        "is_volatile",
        "is_xino",
        "listing_limit",
        "max_bytes",
        "ownership",
        "prefix",
        "write_redirects",
    )

    def __init__(self, prefix: XattrPrefix = XattrPrefix.TRUSTED) -> None:
        is_trusted = prefix is XattrPrefix.TRUSTED
        self.prefix = prefix
        self.is_readonly = False
        self.is_volatile = False
        self.write_redirects = is_trusted
        self.follow_redirects = is_trusted
        self.follow_metacopy = is_trusted
        self.ownership = Ownership()
        self.is_noacl = False
        self.is_xino = True
        self.descriptor_limit = DEFAULT_LIMIT
        self.listing_limit = 1 << 16
        self.max_bytes = 0
