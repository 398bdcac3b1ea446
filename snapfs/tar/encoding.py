"""Headers as we write them: ustar, and PAX records for what ustar cannot say.

The same entry is always the same bytes. Owners are numbers without names, device
fields are 0 where there is no device, and records are sorted by their keys. A number
that its field has no room for is written there in base 256 besides its PAX record, so
that no reader finds another size, whichever of the two it takes.

Sources: POSIX pax(1), "ustar Interchange Format" and "pax Extended Header"; for
xattrs star(5) and the escapes of GNU tar (``xheader.c``), as ``snapfs.tar.pax`` reads
them.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from snapfs.errors import FailedPreconditionError
from snapfs.tar.header import BLOCK_BYTES
from snapfs.tar.member import LINKS, NO_DEVICE, NO_XATTRS, MemberKind, shown

END_OF_ARCHIVE: Final = bytes(2 * BLOCK_BYTES)

EXTENSION_BYTES: Final = 1 << 20
"""The largest PAX header that Go's archive/tar reads, and so containerd and Docker."""

# name, mode, uid, gid, size, mtime, checksum (spaces), type, link name, magic and
# version, user and group (empty), major, minor, prefix, filling.
_HEADER: Final = struct.Struct("100s8s8s8s12s12s8sc100s8s64x8s8s155s12x")
_CHECKSUM: Final = b" " * 8
_CHECKSUM_AT: Final = 148
_MAGIC: Final = b"ustar\x0000"
_NAME_BYTES: Final = 100
_PREFIX_BYTES: Final = 155

_FLAGS: Final = {
    MemberKind.FILE: b"0",
    MemberKind.HARDLINK: b"1",
    MemberKind.SYMLINK: b"2",
    MemberKind.CHARACTER_DEVICE: b"3",
    MemberKind.BLOCK_DEVICE: b"4",
    MemberKind.DIRECTORY: b"5",
    MemberKind.FIFO: b"6",
}

_XATTR: Final = b"SCHILY.xattr."
_BINARY: Final = b"hdrcharset"
_EXTENSION_NAME: Final = b"PaxHeaders.0/"
_SECOND_NS: Final = 10**9


# Not frozen: assigning through object.__setattr__ costs a microsecond an entry.
@dataclass(slots=True)
class TarEntry:
    """What one header says; nobody changes it.

    Attributes:
        name: Of the member; a directory's ends in a slash.
        kind: What it makes.
        mode: Permission bits, 07777 at most.
        uid: The owner.
        gid: The group.
        size_bytes: Of the body that follows; 0 for all but files.
        mtime_ns: When it was modified, in ns since the epoch.
        link_name: Target of a symlink; of a hard link the name that was written.
        device: Major and minor number of a device node.
        xattrs: Extended attributes by their full names.
    """

    name: bytes
    kind: MemberKind
    mode: int = 0
    uid: int = 0
    gid: int = 0
    size_bytes: int = 0
    mtime_ns: int = 0
    link_name: bytes = b""
    device: tuple[int, int] = NO_DEVICE
    xattrs: Mapping[bytes, bytes] = field(default_factory=lambda: NO_XATTRS)


def encode_header(entry: TarEntry) -> bytes:
    """Return the header of ``entry``, behind its PAX header if it needs one.

    Raises:
        FailedPreconditionError: Its names and xattrs take more than readers read.
    """
    records: dict[bytes, bytes] = {}
    prefix, name = _name(entry.name, records)
    link = _link(entry.link_name, records) if entry.kind in LINKS else b""
    seconds, fraction = divmod(entry.mtime_ns, _SECOND_NS)
    if fraction or not 0 <= seconds < 8**11:
        records[b"mtime"] = _decimal_time(entry.mtime_ns)
    for key, value in entry.xattrs.items():
        records[_XATTR + _escaped(key)] = value
    block = _block(
        name,
        b"%07o\0" % entry.mode,
        _number(entry.uid, 8, b"uid", records),
        _number(entry.gid, 8, b"gid", records),
        _number(entry.size_bytes, 12, b"size", records),
        _field(seconds, 12),
        _FLAGS[entry.kind],
        link,
        b"%07o\0" % entry.device[0],
        b"%07o\0" % entry.device[1],
        prefix,
    )
    return _extension(entry, records) + block if records else block


def padding(size_bytes: int) -> bytes:
    """Return what fills a body of ``size_bytes`` up to whole blocks."""
    return bytes(-size_bytes % BLOCK_BYTES)


def _block(*fields: bytes) -> bytes:
    """Return a header block from its fields, without checksum and magic."""
    name, mode, uid, gid, size, mtime, flag, link, major, minor, prefix = fields
    owners = (mode, uid, gid, size, mtime)
    block = _HEADER.pack(
        name, *owners, _CHECKSUM, flag, link, _MAGIC, major, minor, prefix
    )
    checksum = b"%06o\0 " % sum(block)
    return block[:_CHECKSUM_AT] + checksum + block[_CHECKSUM_AT + len(checksum) :]


def _name(name: bytes, records: dict[bytes, bytes]) -> tuple[bytes, bytes]:
    """Return prefix and name field; note what they cannot hold.

    The fields hold ASCII by the standard. Names that are no UTF-8 go there as they
    are if they fit, since a record would have to be UTF-8; others go to a record.
    """
    if len(name) <= _NAME_BYTES:
        if name.isascii() or not _is_utf8(name):
            return b"", name
    else:
        # The slash at the end of a directory's name is no place to cut.
        at = name.rfind(b"/", 0, min(_PREFIX_BYTES + 1, len(name) - 1))
        if at > 0 and len(name) - at - 1 <= _NAME_BYTES and name.isascii():
            return name[:at], name[at + 1 :]
    _note(b"path", name, records)
    return b"", name[:_NAME_BYTES]


def _link(name: bytes, records: dict[bytes, bytes]) -> bytes:
    if len(name) > _NAME_BYTES or (not name.isascii() and _is_utf8(name)):
        _note(b"linkpath", name, records)
    return name[:_NAME_BYTES]


def _note(key: bytes, value: bytes, records: dict[bytes, bytes]) -> None:
    """Note a name; of one that is no UTF-8 also that it is to be taken as it is."""
    records[key] = value
    if not _is_utf8(value):
        records[_BINARY] = b"BINARY"


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _number(value: int, width: int, key: bytes, records: dict[bytes, bytes]) -> bytes:
    if value >= 8 ** (width - 1):
        records[key] = b"%d" % value
    return _field(value, width)


def _field(value: int, width: int) -> bytes:
    """Return a number in octal, or in base 256 where it has no room."""
    if 0 <= value < 8 ** (width - 1):
        return b"%0*o\0" % (width - 1, value)
    marked = value & (1 << 8 * width - 1) - 1 | 1 << 8 * width - 1
    return marked.to_bytes(width, "big")


def _decimal_time(time_ns: int) -> bytes:
    seconds, fraction = divmod(abs(time_ns), _SECOND_NS)
    sign = b"-" if time_ns < 0 else b""
    if not fraction:
        return b"%s%d" % (sign, seconds)
    return b"%s%d.%s" % (sign, seconds, (b"%09d" % fraction).rstrip(b"0"))


def _escaped(key: bytes) -> bytes:
    """Return an xattr's name as the key of a record.

    A key ends at its first ``=``. Only names that readers would take for escaped
    ones are escaped besides, since Go's archive/tar undoes no escapes.
    """
    if b"=" in key or b"%3D" in key or b"%25" in key:
        return key.replace(b"%", b"%25").replace(b"=", b"%3D")
    return key


def _extension(entry: TarEntry, records: dict[bytes, bytes]) -> bytes:
    """Return a PAX header and its records."""
    body = b"".join(_record(key, records[key]) for key in sorted(records))
    if len(body) > EXTENSION_BYTES:
        raise FailedPreconditionError(
            f"{shown(entry.name)} takes a tar header of {len(body)} bytes for its names"
            f" and extended attributes; readers take {EXTENSION_BYTES} at most"
        )
    # For readers that know no PAX, and make a file of it.
    last = entry.name.rstrip(b"/").rpartition(b"/")[2] or b"root"
    ascii_only = bytes(byte for byte in last if 32 < byte < 127)
    block = _block(
        (_EXTENSION_NAME + ascii_only)[:_NAME_BYTES],
        b"0000644\0",
        b"0000000\0",
        b"0000000\0",
        _field(len(body), 12),
        _field(0, 12),
        b"x",
        b"",
        b"0000000\0",
        b"0000000\0",
        b"",
    )
    return block + body + padding(len(body))


def _record(key: bytes, value: bytes) -> bytes:
    """Return ``LENGTH KEY=VALUE`` and a newline; the length counts itself."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)
