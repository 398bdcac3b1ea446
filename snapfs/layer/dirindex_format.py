"""The file ``dirindex``: what the writer and the reader of it have to agree on.

The form is described in ``docs/on-disk.md``. All numbers are in the byte order of the
machine that wrote the file; that of another machine is ignored.
"""

from __future__ import annotations

import enum
import struct
from _blake2 import blake2b  # as hashlib has it, which loads OpenSSL besides
from typing import Final, NamedTuple

FILE_NAME: Final = "dirindex"
GENERATION: Final = 1
"""Of the first index of a layer; its row and its sidecar say the same."""

MAGIC: Final = b"snapfsDI"
VERSION: Final = 1
BYTE_ORDER: Final = 0x01020304

# As Header says. The fuse_attr of the root follows, then the checksum.
HEADER: Final = struct.Struct("=8sIIQQQQQQI4x")
CHECKSUM_BYTES: Final = 32
ALIGNMENT: Final = 8

# struct fuse_attr (linux/fuse.h), 88 bytes: ino, size, blocks, atime, mtime, ctime,
# their nanoseconds, mode, nlink, uid, gid, rdev, blksize, flags.
ATTRIBUTES: Final = struct.Struct("=QQQqqqIIIIIIIIII")
ATTRIBUTES_BYTES: Final = ATTRIBUTES.size

# fuse_attr, then: the directory's number or NO_DIRECTORY, where the name begins in
# the names of the directory, its length, the type (DT_*), flags.
ENTRY: Final = struct.Struct("=QQQqqqIIIIIIIIIIIIHBB4x")
ENTRY_BYTES: Final = ENTRY.size
ENTRY_TAIL: Final = struct.Struct("=IIHBB4x")

# Place of the first entry, number of entries, bytes of their names, crc32 of both,
# number of the parent, flags.
DIRECTORY: Final = struct.Struct("=QIIIII4x")

NO_DIRECTORY: Final = 0xFFFFFFFF
ROOT: Final = 0

HEADER_BYTES: Final = HEADER.size + ATTRIBUTES_BYTES + CHECKSUM_BYTES


class Header(NamedTuple):
    """The fields at the beginning of the file, in their order.

    Attributes:
        device: Of the layer's root, as stat(2) has it.
        ino: Likewise.
        file_bytes: How long the file is.
        table_at: Where the table of directories begins; it goes to the end.
        entries: How many there are in all directories.
    """

    magic: bytes
    version: int
    byte_order: int
    generation: int
    device: int
    ino: int
    file_bytes: int
    table_at: int
    entries: int
    directories: int


class EntryFlag(enum.IntFlag):
    """What overlayfs's marks say of an entry."""

    WHITEOUT = 1
    """It hides the name in the layers below; it is nothing else."""


class DirectoryFlag(enum.IntFlag):
    """What overlayfs's marks say of a directory."""

    OPAQUE = 1
    """It hides what the layers below have in it (not if it is the root)."""
    HOLDS_WHITEOUTS = 2
    """There is a whiteout among its entries."""


def checksum(
    header: bytes | memoryview, root: bytes | memoryview, table: bytes | memoryview
) -> bytes:
    """Return what the header's checksum must be; the blocks have their own."""
    hasher = blake2b(header, digest_size=CHECKSUM_BYTES)
    hasher.update(root)
    hasher.update(table)
    return hasher.digest()


assert ATTRIBUTES_BYTES == 88
assert ENTRY_BYTES == 104
assert ENTRY_TAIL.size == ENTRY_BYTES - ATTRIBUTES_BYTES
assert not HEADER_BYTES % ALIGNMENT
assert not ENTRY_BYTES % ALIGNMENT
assert not DIRECTORY.size % ALIGNMENT
