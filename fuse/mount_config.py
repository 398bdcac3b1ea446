"""What one union mount is to be: read by the helper, carried out by the server."""

from __future__ import annotations

from snapfs.light_typing import Final
from snapfs.overlay_format import XattrPrefix

ENDLESS_S: Final = float(1 << 30)
"""34 years; the kernel takes seconds up to 2^63, and no change goes unseen by it."""

MAX_WRITE: Final = 1 << 20
"""The most the kernel sends in one message (``fuse_max_pages_limit``: 256 pages)."""


class IdRange:
    """``size`` identities as they are stored, and the ones that are shown instead."""

    __slots__ = ("shown", "size", "stored")

    def __init__(self, stored: int, shown: int, size: int) -> None:
        self.stored = stored
        self.shown = shown
        self.size = size


class MountConfig:
    """One union mount, written down; paths may be relative.

    A class of plain attributes, not a dataclass: the server's start imports little.

    Attributes:
        mountpoint: The directory to mount on.
        lowerdirs: Highest first.
        datadirs: Layers that only redirects of metacopy files lead to.
        upperdir: Takes the changes; None for a read-only union.
        workdir: On the filesystem of ``upperdir``; None with it.
        source: What the mount table shows as the device.
        is_read_only: Nothing may change, though there may be an upperdir.
        is_volatile: Nothing is synced.
        mode: "auto", "fast" or "io".
        redirect: "on", "off", "follow", "nofollow", or "" for the prefix's default.
        prefix: Namespace of the marks; None to choose what this process can write.
        uid_ranges: How owners are shown; empty: as stored.
        gid_ranges: The same of groups.
        squash_uid: The owner of everything, or None.
        squash_gid: The group of everything, or None.
        has_acls: POSIX ACLs are shown and obeyed.
        has_xattrs: Extended attributes are shown at all.
        has_provenance: Unlisted ones tell which layer an object comes from.
        xino: "off", "auto" or "on": device numbers in the inode numbers.
        has_static_nlink: Directories always have the link count 1.
        timeout_s: How long the kernel may keep names and attributes.
        max_bytes: What upperdir and workdir may occupy; 0 for any.
        max_write: The most bytes of one WRITE.
        mount_words: Options for mount(2) or fusermount3 ("nosuid", "allow_other").
        is_debugging: Each message is traced to standard error.
    """

    __slots__ = (
        "datadirs",
        "gid_ranges",
        "has_acls",
        "has_provenance",
        "has_static_nlink",
        "has_xattrs",
        "is_debugging",
        "is_read_only",
        "is_volatile",
        "lowerdirs",
        "max_bytes",
        "max_write",
        "mode",
        "mount_words",
        "mountpoint",
        "prefix",
        "redirect",
        "source",
        "squash_gid",
        "squash_uid",
        "timeout_s",
        "uid_ranges",
        "upperdir",
        "workdir",
        "xino",
    )

    def __init__(self) -> None:
        self.mountpoint = b""
        self.lowerdirs: tuple[bytes, ...] = ()
        self.datadirs: tuple[bytes, ...] = ()
        self.upperdir: bytes | None = None
        self.workdir: bytes | None = None
        self.source = b"snapfs"
        self.is_read_only = False
        self.is_volatile = False
        self.mode = "auto"
        self.redirect = ""
        self.prefix: XattrPrefix | None = None
        self.uid_ranges: tuple[IdRange, ...] = ()
        self.gid_ranges: tuple[IdRange, ...] = ()
        self.squash_uid: int | None = None
        self.squash_gid: int | None = None
        self.has_acls = True
        self.has_xattrs = True
        self.has_provenance = False
        self.xino = "auto"
        self.has_static_nlink = False
        self.timeout_s = ENDLESS_S
        self.max_bytes = 0
        self.max_write = MAX_WRITE
        self.mount_words: tuple[str, ...] = ()
        self.is_debugging = False
