"""The index of a layer as a file.

All numbers are in the byte order of the machine that wrote the file; the file is a
cache, and one of another machine is ignored. In this order:

====================  =======================================================
8 bytes               ``snapfsLI``
u32                   version, 2
u32                   0x01020304, which shows the byte order
u64                   number of names
u64, u64, u64         bytes of the names, texts and extras
32 bytes              BLAKE2b of the header with this field zero, the diff ID
                      and the payload
rest                  payload: one LZ4 block
====================  =======================================================

The payload holds the columns of :data:`snapfs.layer.index.COLUMNS` and then its
``BLOBS``, one after the other without padding.
"""

from __future__ import annotations

import hashlib
import struct
from array import array
from itertools import accumulate
from typing import Final

import lz4.block

from snapfs.digest import Digest
from snapfs.errors import DataLossError
from snapfs.layer.index import BLOBS, COLUMNS, LayerIndex

_MAGIC: Final = b"snapfsLI"
# 2 has the flag CLAMPED; in a file of version 1, a root without it says nothing.
_VERSION: Final = 2
_BYTE_ORDER: Final = 0x01020304
_HEADER: Final = struct.Struct("=8sIIQQQQ")
_CHECKSUM_BYTES: Final = 32
_PAYLOAD_AT: Final = _HEADER.size + _CHECKSUM_BYTES


def dump(index: LayerIndex, diff_id: Digest) -> bytes:
    """Return the file of an index; ``diff_id`` binds it to its layer."""
    blobs = [getattr(index, name) for name in BLOBS]
    header = _HEADER.pack(
        _MAGIC, _VERSION, _BYTE_ORDER, len(index), *(blob.nbytes for blob in blobs)
    )
    columns = [getattr(index, name).cast("B") for name in COLUMNS]
    plain = b"".join(columns + blobs)
    payload: bytes = lz4.block.compress(plain, store_size=False)
    return header + _checksum(header, diff_id, payload) + payload


def load(content: bytes, diff_id: Digest) -> LayerIndex:
    """Return the index that ``dump`` put into a file.

    Raises:
        DataLossError: It is damaged, of another version or machine, or the index of
            another layer.
    """
    if len(content) < _PAYLOAD_AT:
        raise DataLossError(f"index of layer {diff_id} is cut short")
    magic, version, byte_order, names, *blobs = _HEADER.unpack_from(content)
    if (magic, version, byte_order) != (_MAGIC, _VERSION, _BYTE_ORDER):
        raise DataLossError(f"index of layer {diff_id} is of another form")
    header, stored = content[: _HEADER.size], content[_HEADER.size : _PAYLOAD_AT]
    payload = memoryview(content)[_PAYLOAD_AT:]
    if _checksum(header, diff_id, payload) != stored:
        raise DataLossError(f"index of layer {diff_id} is damaged")
    sizes = [*_column_sizes(names), *blobs]
    # The checksum holds, so the sizes are those that dump() wrote.
    plain = memoryview(lz4.block.decompress(payload, uncompressed_size=sum(sizes)))
    ends = accumulate(sizes)
    return LayerIndex(
        {
            name: plain[end - size : end]
            for name, size, end in zip((*COLUMNS, *BLOBS), sizes, ends, strict=True)
        }
    )


def _column_sizes(names: int) -> list[int]:
    return [
        array(code).itemsize * (names + (column == "first_children"))
        for column, code in COLUMNS.items()
    ]


def _checksum(header: bytes, diff_id: Digest, payload: bytes | memoryview) -> bytes:
    hasher = hashlib.blake2b(digest_size=_CHECKSUM_BYTES)
    hasher.update(header + bytes(_CHECKSUM_BYTES) + str(diff_id).encode() + b"\0")
    hasher.update(payload)
    return hasher.digest()
