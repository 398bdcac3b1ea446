"""The headers before a header: PAX records and GNU's long names.

Each kind may stand once before a member, in any order; two of one kind, a global
header in between, or none that they belong to, are errors: readers disagree on
what such an archive means.
"""

from __future__ import annotations

from typing import Final

from snapfs.errors import DataLossError, UnsafeLayerError
from snapfs.tar import numbers, pax
from snapfs.tar.header import BLOCK_BYTES
from snapfs.tar.member import LINKS, Member
from snapfs.tar.stream import PlainStream

PAX: Final = ord("x")
LONG_NAME: Final = ord("L")
LONG_LINK: Final = ord("K")
GLOBAL: Final = ord("g")

_WORDS: Final = {
    PAX: "PAX header",
    LONG_NAME: "long name",
    LONG_LINK: "long link name",
    GLOBAL: "global PAX header",
}


class Extensions:
    """What precedes one member's header.

    Attributes:
        pax: Its PAX records, if it has an ``x`` header.
        long_name: From an ``L`` header.
        long_link: From a ``K`` header.
    """

    __slots__ = ("_seen", "long_link", "long_name", "pax")

    def __init__(self) -> None:
        self.pax: pax.PaxHeader | None = None
        self.long_name: bytes | None = None
        self.long_link: bytes | None = None
        self._seen = 0

    def add(self, flag: int, body: bytes) -> None:
        """Take in one extension header by its type.

        Raises:
            DataLossError: It is malformed, or the second of its kind.
        """
        bit = 1 << (flag & 31)
        if self._seen & bit:
            raise DataLossError(f"a second {_WORDS[flag]} for the same member")
        self._seen |= bit
        if flag == PAX:
            self.pax = pax.parse(body)
        elif flag == LONG_NAME:
            self.long_name = body.partition(b"\0")[0]
        else:
            self.long_link = body.partition(b"\0")[0]

    def apply(self, member: Member) -> None:
        """Override the fields of ``member``; PAX records come before long names.

        Raises:
            DataLossError: A PAX value is malformed.
        """
        if self.long_name:
            member.name = self.long_name
        if self.long_link and member.kind in LINKS:
            member.link_name = self.long_link
        if self.pax is not None:
            pax.apply(self.pax, member)


def read_extension(
    stream: PlainStream, flag: int, size_field: bytes, limit: int
) -> bytes:
    """Return the body of an extension header, which was just read.

    Raises:
        UnsafeLayerError: It is larger than ``limit``; nothing was read then.
        DataLossError: It is cut short, or its size is no size.
    """
    size = numbers.size(size_field)
    if size > limit:
        raise UnsafeLayerError(
            f"a {_WORDS[flag]} of {size} bytes; at most {limit} are allowed"
        )
    body = bytes(stream.join(size))
    stream.skip(-size % BLOCK_BYTES)
    return body
