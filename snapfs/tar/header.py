"""Header blocks: 512 bytes, their checksum, and the fields of every dialect.

Layouts: POSIX pax(1) (ustar), GNU tar's tar.h (gnu), star(5) (star), tar(5) of
libarchive (v7).
"""

from __future__ import annotations

import struct
from typing import Final
from zlib import adler32

from snapfs.errors import DataLossError
from snapfs.tar.member import DEVICES, LINKS, Member, MemberKind
from snapfs.tar.numbers import Memo, device, number

BLOCK_BYTES: Final = 512
ZERO_BLOCK: Final = bytes(BLOCK_BYTES)

# name, mode + uid + gid, size, mtime, checksum, type, link name, magic + version,
# (user, group and device: read where needed), prefix.
unpack_header: Final = struct.Struct("100s24s12s12s8sB100s8s80x155s12x").unpack

USTAR_MAGIC: Final = b"ustar\0"
GNU_MAGIC: Final = b"ustar  \0"
_STAR_TRAILER: Final = b"tar\0"
_STAR_PREFIX_BYTES: Final = 131

# GNU tar's old sparse format: a file, its map in the header.
SPARSE: Final = ord("S")

# Type flags that make something. NUL is a file in v7; "7" is a contiguous file.
# "D" is GNU tar's incremental dump: a directory whose body lists its names.
KINDS: Final = {
    ord("0"): MemberKind.FILE,
    0: MemberKind.FILE,
    ord("7"): MemberKind.FILE,
    SPARSE: MemberKind.FILE,
    ord("1"): MemberKind.HARDLINK,
    ord("2"): MemberKind.SYMLINK,
    ord("3"): MemberKind.CHARACTER_DEVICE,
    ord("4"): MemberKind.BLOCK_DEVICE,
    ord("5"): MemberKind.DIRECTORY,
    ord("D"): MemberKind.DIRECTORY,
    ord("6"): MemberKind.FIFO,
}

# The members whose size field counts bytes of the stream. For all others it says
# nothing about the stream, as for Go's archive/tar, so that containerd and we
# find the same next header.
WITH_BODY: Final = frozenset((ord("0"), 0, ord("7"), SPARSE, ord("D")))

_CHECKSUM: Final = slice(148, 156)
_HIGH_BYTES: Final = bytes(range(128, 256))


def _sum_with_field(field: bytes) -> int:
    """Return what a header's bytes must sum to, given its checksum field.

    The checksum counts its own field as eight spaces. No header sums to what is
    returned for a field without a number.
    """
    try:
        return number(field) - 8 * ord(" ") + sum(field)
    except DataLossError:
        return -1


def new_sums() -> Memo[int]:
    """Return the memo that ``checksum_holds`` keeps its fields in."""
    return Memo(_sum_with_field)


def checksum_holds(header: bytes, sums: Memo[int]) -> bool:
    """Return whether the checksum of ``header`` is right, signed or unsigned.

    The low half of Adler-32 is one more than the sum modulo 65521. That is exact
    for ASCII (512 * 127 = 65024), where both sums agree, and takes a tenth of
    ``sum``. Each half of any other header sums up to 65280 at most.
    """
    if header.isascii():
        return (adler32(header) & 0xFFFF) - 1 == sums[header[_CHECKSUM]]
    half = BLOCK_BYTES // 2
    unsigned = (adler32(header[:half]) & 0xFFFF) + (adler32(header[half:]) & 0xFFFF) - 2
    high = BLOCK_BYTES - len(header.translate(None, _HIGH_BYTES))
    return sums[header[_CHECKSUM]] in (unsigned, unsigned - 256 * high)


def with_prefix(name: bytes, prefix: bytes, header: bytes) -> bytes:
    """Return the name of a header whose prefix area is not empty.

    Only POSIX headers have a prefix. GNU tar keeps times and the sparse map
    there; but Go before 1.8, and so docker of its day, wrote prefixes under the
    GNU magic: what is no time there and is ASCII is taken for one, as Go does.
    """
    magic = header[257:265]
    if magic.startswith(USTAR_MAGIC):
        if header.endswith(_STAR_TRAILER):
            prefix = prefix[:_STAR_PREFIX_BYTES]
    elif magic != GNU_MAGIC or not prefix.isascii() or _are_times(prefix):
        return name
    prefix = prefix.partition(b"\0")[0]
    return prefix + b"/" + name if prefix else name


def _are_times(prefix: bytes) -> bool:
    """Return whether GNU tar's access and change time are at the area's start."""
    try:
        number(prefix[:12])
        number(prefix[12:24])
    except DataLossError:
        return False
    return True


def complete(member: Member, header: bytes, link: bytes) -> None:
    """Fill in what only links and device nodes have.

    Raises:
        DataLossError: A device number is no number, or Linux cannot store it.
    """
    if member.kind in LINKS:
        member.link_name = link.partition(b"\0")[0]
    elif member.kind in DEVICES:
        member.device = device(number(header[329:337]), number(header[337:345]))


def means_directory(flag: int, header: bytes) -> bool:
    """Return whether a file's header means a directory if its name ends in a slash.

    v7 has no type for directories. A "0" in a POSIX or GNU header is a file
    whatever its name, as for Go.
    """
    is_v7 = not header.startswith((USTAR_MAGIC, GNU_MAGIC), 257)
    return flag == 0 or (flag == ord("0") and is_v7)
