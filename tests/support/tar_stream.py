"""Layers written as a stream of bytes: of any size, and never held in memory."""

from __future__ import annotations

import itertools
import tarfile
from collections.abc import Iterable, Iterator

from support.applied_layers import Item, entry

_BLOCK_BYTES = 512
_PIECE_BYTES = 1 << 20


def tar_stream(items: Iterable[Item]) -> Iterator[bytes]:
    """Yield a PAX tar of ``items``, piece by piece."""
    return itertools.chain(_members(items), [bytes(2 * _BLOCK_BYTES)])


def large_file_stream(name: str, size_bytes: int) -> Iterator[bytes]:
    """Yield a PAX tar of one file of zeros."""
    info, _ = entry(name)
    info.size = size_bytes
    yield _header(info)
    left = size_bytes
    while left:
        piece = bytes(min(left, _PIECE_BYTES))
        left -= len(piece)
        yield piece
    yield bytes(-size_bytes % _BLOCK_BYTES + 2 * _BLOCK_BYTES)


def _members(items: Iterable[Item]) -> Iterator[bytes]:
    for info, content in items:
        yield _header(info) + content + bytes(-len(content) % _BLOCK_BYTES)


def _header(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
