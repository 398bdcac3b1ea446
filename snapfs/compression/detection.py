"""What a blob is, by its first bytes; media types lie."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from snapfs.errors import UnimplementedError

# As much of a blob as ``detect`` looks at.
HEAD_BYTES: Final = 16

GZIP_MAGIC: Final = b"\x1f\x8b"
ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
LZ4_MAGIC: Final = b"\x04\x22\x4d\x18"

# Frames that decoders skip, 0x184D2A50 to 0x184D2A5F in little-endian order; the
# zstd and lz4 formats share them (RFC 8878, section 3.1.2).
_SKIPPABLE_TAIL: Final = b"\x2a\x4d\x18"

# gzip with its only method, deflate (RFC 1952): two bytes alone are too likely to
# be a file name.
_GZIP_DEFLATE: Final = GZIP_MAGIC + b"\x08"

# What other tools write layers or tars in, told by enough bytes not to be the name
# of a plain tar's first member. bzip2: a block, or the end of an empty stream,
# follows the level.
_REFUSED: Final = (
    ("xz", 0, b"\xfd7zXZ\x00"),
    ("bzip2", 4, b"1AY&SY"),
    ("bzip2", 4, b"\x17rE8P\x90"),
    ("the legacy form of lz4", 0, b"\x02\x21\x4c\x18"),
)


class Compression(StrEnum):
    """How a blob is compressed; the values are media type suffixes where known."""

    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"
    LZ4 = "lz4"


def is_skippable(head: bytes) -> bool:
    """Return whether a skippable frame starts here."""
    return head[1:4] == _SKIPPABLE_TAIL and 0x50 <= head[0] <= 0x5F


def detect(head: bytes) -> Compression:
    """Return how a blob that starts with ``head`` is compressed.

    Sixteen bytes are enough; fewer only if the blob has no more. What is not
    recognised counts as plain: whether it is a tar, its reader will tell.

    Raises:
        UnimplementedError: It is compressed in a way that images may not be.
    """
    if head.startswith(_GZIP_DEFLATE):
        return Compression.GZIP
    if head.startswith(ZSTD_MAGIC) or is_skippable(head):
        return Compression.ZSTD
    if head.startswith(LZ4_MAGIC):
        return Compression.LZ4
    for name, offset, magic in _REFUSED:
        if head.startswith(magic, offset) and (not offset or head.startswith(b"BZh")):
            raise UnimplementedError(
                f"the content is compressed with {name}; gzip, zstd and lz4 are "
                "supported"
            )
    return Compression.NONE
