"""Sparse maps: which extents of a file the body holds, in all four GNU forms.

Source: GNU tar manual, "Storing Sparse Files": the old format (type ``S``, map in
the header and in extension blocks) and PAX formats 0.0, 0.1 and 1.0. Maps are
capped before they are read (CVE-2025-58183).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from snapfs.errors import DataLossError, UnsafeLayerError
from snapfs.tar import numbers
from snapfs.tar.header import BLOCK_BYTES, GNU_MAGIC, SPARSE
from snapfs.tar.member import Member, MemberKind
from snapfs.tar.pax import PaxHeader

Extents = tuple[tuple[int, int], ...]

_TYPE: Final = 156
_MAGIC: Final = 257

# GNU tar's tar.h: an extent is two fields of 12 bytes; the header has 4 and each
# extension block 21, then one byte that says whether a block follows.
_FIELD_BYTES: Final = 12
_HEADER_EXTENTS: Final = slice(386, 482)
_HEADER_CONTINUES: Final = 482
_HEADER_REAL_SIZE: Final = slice(483, 495)
_BLOCK_EXTENTS: Final = slice(0, 504)
_BLOCK_CONTINUES: Final = 504


def read_map(
    member: Member,
    header: bytes,
    pax: PaxHeader | None,
    next_block: Callable[[], bytes],
    limit: int,
) -> None:
    """Give ``member`` its map if one of the formats is used.

    Afterwards ``stored_bytes`` is without the map and ``size_bytes`` is the file's.

    Args:
        member: What header and extensions say without the map.
        header: The member's header block.
        pax: Its extended header, if it has one.
        next_block: Returns the block that follows in the stream.
        limit: What the map may take in bytes.

    Raises:
        DataLossError: The map contradicts itself or the sizes, or the format is
            unknown.
        UnsafeLayerError: It takes more than ``limit``.
    """
    in_records = pax is not None and pax.is_sparse
    if header[_TYPE] == SPARSE:
        if not header.startswith(GNU_MAGIC, _MAGIC) or in_records:
            raise DataLossError("two sparse formats, or one that is not GNU's")
        _old_map(member, header, next_block, limit)
    elif pax is not None and in_records:
        if member.kind is not MemberKind.FILE:
            raise DataLossError("a sparse map, but it is not a file")
        _pax_map(member, pax, next_block, limit)


def _old_map(
    member: Member, header: bytes, next_block: Callable[[], bytes], limit: int
) -> None:
    """Read the map of a type ``S`` header; blocks that continue it may follow."""
    pairs = list(_old_extents(header[_HEADER_EXTENTS]))
    continues = header[_HEADER_CONTINUES]
    taken = 0
    while continues:
        taken += BLOCK_BYTES
        _check_limit(taken, limit)
        block = next_block()
        pairs.extend(_old_extents(block[_BLOCK_EXTENTS]))
        continues = block[_BLOCK_CONTINUES]
    _set_map(member, pairs, numbers.size(header[_HEADER_REAL_SIZE]))


def _old_extents(area: bytes) -> Iterator[tuple[int, int]]:
    """Yield the extents of one area; the first empty field ends them."""
    for at in range(0, len(area), 2 * _FIELD_BYTES):
        offset = area[at : at + _FIELD_BYTES]
        length = area[at + _FIELD_BYTES : at + 2 * _FIELD_BYTES]
        if not offset[0] or not length[0]:
            return
        yield numbers.size(offset), numbers.size(length)


def _pax_map(
    member: Member, header: PaxHeader, next_block: Callable[[], bytes], limit: int
) -> None:
    """Read the map of a PAX sparse format: from the records, or from the body."""
    values = header.values
    version = values.get(b"GNU.sparse.major"), values.get(b"GNU.sparse.minor")
    if version == (b"1", b"0"):
        pairs = _body_map(member, next_block, limit)
    elif version not in ((None, None), (b"0", b"0"), (b"0", b"1")):
        raise DataLossError(f"the sparse format {version!r} is unknown")
    else:
        pairs = _record_map(header)
    real_size = values.get(b"GNU.sparse.realsize") or values.get(b"GNU.sparse.size")
    if real_size is None:
        raise DataLossError("the sparse file's size is missing")
    member.name = values.get(b"GNU.sparse.name") or member.name
    _set_map(member, pairs, numbers.decimal(real_size))


def _record_map(header: PaxHeader) -> list[tuple[int, int]]:
    """Return the extents of formats 0.0 (repeated records) and 0.1 (one list)."""
    listed = header.values.get(b"GNU.sparse.map")
    parts = header.extents
    if listed is not None:
        parts = listed.split(b",") if listed else []
    count = header.values.get(b"GNU.sparse.numblocks")
    if count is None or len(parts) != 2 * numbers.decimal(count):
        raise DataLossError("the sparse map does not have the length it claims")
    return _pairs(parts)


def _pairs(parts: list[bytes]) -> list[tuple[int, int]]:
    """Return decimal numbers two by two."""
    values = [numbers.decimal(part) for part in parts]
    return list(zip(values[::2], values[1::2], strict=True))


def _body_map(
    member: Member, next_block: Callable[[], bytes], limit: int
) -> list[tuple[int, int]]:
    """Take the extents off the start of a 1.0 body.

    The map is a count and that many pairs, each number on a line of its own, and
    padded to whole blocks.
    """
    blocks: list[bytes] = []
    lines, wanted = 0, 1
    while lines < wanted:
        taken = (len(blocks) + 1) * BLOCK_BYTES
        _check_limit(taken, limit)
        if taken > member.stored_bytes:
            raise DataLossError("the sparse map ends after the body")
        block = next_block()
        blocks.append(block)
        lines += block.count(b"\n")
        if wanted == 1 and lines:
            count = numbers.decimal(b"".join(blocks).partition(b"\n")[0])
            wanted = 1 + 2 * count
    member.stored_bytes -= len(blocks) * BLOCK_BYTES
    return _pairs(b"".join(blocks).split(b"\n", wanted)[1:wanted])


def _check_limit(taken: int, limit: int) -> None:
    """Refuse a map that takes more than ``limit`` bytes."""
    if taken > limit:
        raise UnsafeLayerError(f"the sparse map takes more than {limit} bytes")


def _set_map(member: Member, pairs: Iterable[tuple[int, int]], real_size: int) -> None:
    """Give ``member`` a map that was checked against the sizes."""
    extents = []
    end = stored = 0
    for offset, length in pairs:
        if offset < end:
            raise DataLossError("the extents of the sparse map overlap or go back")
        end = offset + length
        stored += length
        if length:
            extents.append((offset, length))
    if end > real_size:
        raise DataLossError(
            f"the sparse map reaches byte {end} of a file of {real_size} bytes"
        )
    if stored != member.stored_bytes:
        raise DataLossError(
            f"the sparse map has {stored} bytes of data, the body {member.stored_bytes}"
        )
    member.size_bytes = real_size
    member.sparse = tuple(extents)
