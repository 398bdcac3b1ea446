"""One member of a tar: what its header and extensions say, in one value."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Final

# A message shows this much of a name; a PAX path may be a mebibyte.
_SHOWN_BYTES: Final = 200

NO_XATTRS: Final[Mapping[bytes, bytes]] = MappingProxyType({})
NO_DEVICE: Final = (0, 0)


class MemberKind(IntEnum):
    """What a member makes; the values are ours, not the type flags."""

    FILE = 0
    DIRECTORY = 1
    SYMLINK = 2
    HARDLINK = 3
    CHARACTER_DEVICE = 4
    BLOCK_DEVICE = 5
    FIFO = 6


LINKS: Final = frozenset((MemberKind.SYMLINK, MemberKind.HARDLINK))
DEVICES: Final = frozenset((MemberKind.CHARACTER_DEVICE, MemberKind.BLOCK_DEVICE))


# Not frozen: assigning through object.__setattr__ costs 1.5 us a member, and
# extensions override fields after the header was read. Readers never change one.
@dataclass(slots=True)
class Member:
    """A member as written: nothing is normalised, and no name is trusted.

    Attributes:
        name: Of the member, after long names and PAX; no NUL, else any bytes.
        kind: What it makes.
        mode: Permission bits with setuid, setgid and sticky (07777).
        uid: Owner, 0 to 2**32 - 2: the last value means "unchanged" to chown(2).
        gid: Group, in the same range.
        size_bytes: Of the file, holes included; 0 for all but files.
        stored_bytes: Of the body from ``data_offset`` on, padding left out.
        mtime_ns: Whole nanoseconds since 1970, within 64 bits with a sign.
        link_name: Target of a symlink or hard link, b"" for all else.
        device: Major and minor number of a device node.
        xattrs: Names and values as written.
        sparse: (offset, length) of each data extent in the file, ascending,
            apart from each other and never empty; their lengths sum up to
            ``stored_bytes``. None where the body is the whole file.
        header_offset: Where the member's first header starts in the plain tar,
            extension headers included.
        data_offset: Where its body starts.
    """

    name: bytes
    kind: MemberKind
    mode: int
    uid: int
    gid: int
    size_bytes: int
    stored_bytes: int
    mtime_ns: int
    link_name: bytes
    device: tuple[int, int]
    xattrs: Mapping[bytes, bytes]
    sparse: tuple[tuple[int, int], ...] | None
    header_offset: int
    data_offset: int


def shown(name: bytes) -> str:
    """Return ``name`` for a message: quoted, escaped, and cut when it is long."""
    text = repr(os.fsdecode(name[:_SHOWN_BYTES]))
    return text if len(name) <= _SHOWN_BYTES else f"{text}..."
