"""Extended attributes and sparse maps of entries, packed into one run of bytes.

Few entries have any, and those that do often have the same; so they lie apart, and
an entry holds the offset of its own, 0 for none. One record, little-endian:

    u16 number of xattrs; for each u16 length of its name, u32 of its value, both
    u32 number of data extents plus one, or 0 for a file that is not sparse;
        for each extent u64 offset in the file, u64 length
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

Extents = tuple[tuple[int, int], ...]

NO_XATTRS: Final[Mapping[bytes, bytes]] = MappingProxyType({})

_COUNT: Final = struct.Struct("<H")
_XATTR: Final = struct.Struct("<HI")
_EXTENTS: Final = struct.Struct("<I")
_EXTENT: Final = struct.Struct("<QQ")

_REMEMBERED: Final = 1024  # records that may be shared; one SELinux label is typical
_REMEMBERED_BYTES: Final = 512


class Extras:
    """The growing run of bytes, and the records in it that may be shared."""

    __slots__ = ("_offsets", "data")

    def __init__(self) -> None:
        self.data = bytearray(b"\0")  # so that no record has offset 0
        self._offsets: dict[bytes, int] = {}

    def add(self, xattrs: Mapping[bytes, bytes], sparse: Extents | None) -> int:
        """Store both and return their offset; equal small records are stored once."""
        record = _packed(xattrs, sparse)
        offset = self._offsets.get(record)
        if offset is not None:
            return offset
        offset = len(self.data)
        self.data += record
        if len(record) <= _REMEMBERED_BYTES and len(self._offsets) < _REMEMBERED:
            self._offsets[record] = offset
        return offset


def _packed(xattrs: Mapping[bytes, bytes], sparse: Extents | None) -> bytes:
    parts = [_COUNT.pack(len(xattrs))]
    for name, value in sorted(xattrs.items()):
        parts += (_XATTR.pack(len(name), len(value)), name, value)
    if sparse is None:
        parts.append(_EXTENTS.pack(0))
    else:
        parts.append(_EXTENTS.pack(len(sparse) + 1))
        parts += (_EXTENT.pack(*extent) for extent in sparse)
    return b"".join(parts)


def read_xattrs(
    data: bytes | bytearray | memoryview, offset: int
) -> dict[bytes, bytes]:
    """Return the extended attributes of the record at ``offset``."""
    return _read_xattrs(data, offset)[0]


def read_sparse(data: bytes | bytearray | memoryview, offset: int) -> Extents | None:
    """Return the data extents of the record at ``offset``; None: not sparse."""
    at = _read_xattrs(data, offset)[1]
    (count,) = _EXTENTS.unpack_from(data, at)
    if not count:
        return None
    at += _EXTENTS.size
    end = at + (count - 1) * _EXTENT.size
    return tuple(_EXTENT.iter_unpack(memoryview(data)[at:end]))


def _read_xattrs(
    data: bytes | bytearray | memoryview, at: int
) -> tuple[dict[bytes, bytes], int]:
    xattrs: dict[bytes, bytes] = {}
    (count,) = _COUNT.unpack_from(data, at)
    at += _COUNT.size
    for _ in range(count):
        name_bytes, value_bytes = _XATTR.unpack_from(data, at)
        at += _XATTR.size
        middle = at + name_bytes
        name = bytes(data[at:middle])
        at = middle + value_bytes
        xattrs[name] = bytes(data[middle:at])
    return xattrs, at
