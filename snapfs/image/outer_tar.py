"""The headers of an archive that holds an image: names, places, links.

Bodies are stepped over, not read; that is what ``snapfs.tar.reader``, made for
streams, cannot do. Headers are taken apart by the same functions.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from snapfs.errors import DataLossError, UnsafeLayerError
from snapfs.tar import numbers, pax
from snapfs.tar.header import (
    BLOCK_BYTES,
    KINDS,
    WITH_BODY,
    ZERO_BLOCK,
    checksum_holds,
    new_sums,
    with_prefix,
)
from snapfs.tar.member import MemberKind

# One long name or PAX header; image members have short names.
_EXTENSION_BYTES: Final = 1 << 20
# Files of one image: two a layer, some for each config; old archives three a layer.
_MEMBERS: Final = 1_000_000

# Fields of a header (pax(1), "ustar Interchange Format").
_NAME: Final = slice(0, 100)
_SIZE: Final = slice(124, 136)
_FLAG: Final = 156
_LINK_NAME: Final = slice(157, 257)
_PREFIX: Final = slice(345, 500)

_SPARSE: Final = ord("S")
_LONG_NAME: Final = ord("L")
_LONG_LINK: Final = ord("K")
_PAX: Final = ord("x")
_EXTENSIONS: Final = frozenset((_LONG_NAME, _LONG_LINK, _PAX, ord("g")))
_LINKS: Final = (MemberKind.HARDLINK, MemberKind.SYMLINK)


@dataclass(frozen=True, slots=True)
class OuterMember:
    """One file or link in the archive.

    A file's bytes lie at ``offset``; a link has a ``target``, which is relative to
    the link for a symlink and to the archive's root for a hard link.
    """

    name: str
    offset: int
    size_bytes: int
    target: str | None = None
    is_symlink: bool = False


@dataclass(slots=True)
class _Extensions:
    """What extension headers say of the next member."""

    name: bytes | None = None
    link_name: bytes | None = None
    size_bytes: int | None = None

    def take(self, flag: int, body: bytes) -> None:
        """Take in one extension header; global ones say nothing of members."""
        if flag == _LONG_NAME:
            self.name = body.partition(b"\0")[0]
        elif flag == _LONG_LINK:
            self.link_name = body.partition(b"\0")[0]
        elif flag == _PAX:
            header = pax.parse(body)
            if header.is_sparse:
                raise DataLossError("a member is sparse, as no image's is")
            self.name = header.values.get(b"path") or self.name
            self.link_name = header.values.get(b"linkpath") or self.link_name
            if size_bytes := header.values.get(b"size"):
                self.size_bytes = numbers.decimal(size_bytes)


def outer_members(descriptor: int, what: str) -> Iterator[OuterMember]:
    """Yield the files and links of the tar in the open file ``descriptor``.

    ``what`` names the archive in messages.

    Raises:
        DataLossError: It is no tar, is damaged, or ends too early.
        UnsafeLayerError: It has more members or longer names than any image.
    """
    walk = _Walk(descriptor, os.fstat(descriptor).st_size)
    try:
        yield from walk.members()
    except DataLossError as error:
        raise DataLossError(f"{what}: {error}") from error
    except UnsafeLayerError as error:
        raise UnsafeLayerError(f"{what}: {error}") from error


class _Walk:
    """One pass over the headers."""

    def __init__(self, descriptor: int, end: int) -> None:
        self._descriptor = descriptor
        self._end = end
        self._position = 0
        self._sums = new_sums()

    def members(self) -> Iterator[OuterMember]:
        """Yield the files and links in order."""
        extensions = _Extensions()
        count = 0
        while header := self._next_header():
            count += 1
            if count > _MEMBERS:
                raise UnsafeLayerError(f"there are more than {_MEMBERS} members")
            flag = header[_FLAG]
            if flag in _EXTENSIONS:
                body = self._take_extension(numbers.size(header[_SIZE]))
                extensions.take(flag, body)
                continue
            member = self._take_member(header, flag, extensions)
            if member is not None:
                yield member
            extensions = _Extensions()

    def _next_header(self) -> bytes:
        """Return the header at the position; b"" at the archive's end."""
        header = os.pread(self._descriptor, BLOCK_BYTES, self._position)
        if header == ZERO_BLOCK or (not header and self._position):
            return b""  # some writers leave out the end mark
        if len(header) < BLOCK_BYTES:
            raise DataLossError("it is no tar archive, or it is cut off")
        if not self._is_header(header):
            if self._position:
                raise DataLossError(f"the header at byte {self._position} is damaged")
            raise DataLossError("it is no tar archive")
        self._position += BLOCK_BYTES
        return header

    def _is_header(self, header: bytes) -> bool:
        try:
            return checksum_holds(header, self._sums)
        except DataLossError:
            return False

    def _take_extension(self, size_bytes: int) -> bytes:
        if size_bytes > _EXTENSION_BYTES:
            raise UnsafeLayerError(
                f"an extension header has {size_bytes} bytes; at most "
                f"{_EXTENSION_BYTES} are read"
            )
        start = self._position
        self._step_over(size_bytes, "an extension header")
        return os.pread(self._descriptor, size_bytes, start)

    def _step_over(self, size_bytes: int, what: str) -> None:
        if self._position + size_bytes > self._end:
            raise DataLossError(f"the archive is cut off in {what}")
        self._position += -(-size_bytes // BLOCK_BYTES) * BLOCK_BYTES

    def _take_member(
        self, header: bytes, flag: int, extensions: _Extensions
    ) -> OuterMember | None:
        prefix = header[_PREFIX]
        name = header[_NAME].partition(b"\0")[0]
        if prefix[0]:
            name = with_prefix(name, prefix, header)
        if extensions.name is not None:
            name = extensions.name
        if flag == _SPARSE:
            raise DataLossError(
                f"{os.fsdecode(name[:100])!r} is sparse, as no image's file is"
            )
        size_bytes = 0
        if flag in WITH_BODY:
            stated = extensions.size_bytes
            size_bytes = numbers.size(header[_SIZE]) if stated is None else stated
        offset = self._position
        self._step_over(size_bytes, repr(os.fsdecode(name[:100])))
        kind = KINDS.get(flag)
        if kind in _LINKS:
            target = extensions.link_name or header[_LINK_NAME].partition(b"\0")[0]
            is_symlink = kind is MemberKind.SYMLINK
            return OuterMember(
                os.fsdecode(name), offset, 0, os.fsdecode(target), is_symlink
            )
        if kind is MemberKind.FILE:
            return OuterMember(os.fsdecode(name), offset, size_bytes)
        return None
