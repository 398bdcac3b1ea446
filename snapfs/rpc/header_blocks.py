"""Header blocks: read with the library hpack, written without a dynamic table.

What we write as a server refers to the static table only, so that a response is put
together from constants and no block depends on another (RFC 7541, 6.2.2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeAlias, TypeVar

import hpack
from hpack.table import HeaderTable

from snapfs.rpc.frames import ConnectionFault, ErrorCode

Fields: TypeAlias = Sequence[tuple[bytes, bytes]]
ParsedT = TypeVar("ParsedT")

# Larger than what gRPC's own implementations accept by default (8 and 16 KiB).
MAX_HEADER_LIST_SIZE: Final = 65536

# A client has a block or two for each of its methods; one whose blocks all differ
# must not fill our memory.
_CACHED_BLOCKS: Final = 64
_CACHED_BLOCK_SIZE: Final = 512

# RFC 7541, 6.3: we keep no dynamic table. It stands at the head of each block,
# because a peer that lowers HEADER_TABLE_SIZE must find it in the next one, whichever
# thread sends that (RFC 7541, 4.2); repeated, it changes nothing.
NO_TABLE: Final = b"\x20"


class HeaderReader(Generic[ParsedT]):
    """Reads the blocks of one connection, in the order they came in.

    A client sends the same bytes for each call once its headers are in the dynamic
    table. What such a block means is remembered until the table changes.

    Args:
        parse: Makes something of the fields; it must not raise.
    """

    def __init__(self, parse: Callable[[Fields], ParsedT]) -> None:
        self._parse = parse
        self._decoder = hpack.Decoder(max_header_list_size=MAX_HEADER_LIST_SIZE)
        self._table = _CountingTable()
        self._decoder.header_table = self._table
        self._known: dict[bytes, ParsedT] = {}

    def read(self, block: bytes) -> ParsedT:
        """Return what ``parse`` makes of a complete block.

        Raises:
            ConnectionFault: It cannot be decoded, or its fields are too long; the
                table is then out of step (RFC 9113, 4.3).
        """
        known = self._known.get(block)
        if known is not None:
            return known
        state = self._table.state()
        try:
            fields = self._decoder.decode(block, raw=True)
        except hpack.OversizedHeaderListError as error:
            raise ConnectionFault(
                ErrorCode.ENHANCE_YOUR_CALM, "the headers are too long"
            ) from error
        except (hpack.HPACKError, IndexError, ValueError) as error:
            raise ConnectionFault(
                ErrorCode.COMPRESSION_ERROR, f"headers cannot be decoded: {error}"
            ) from error
        parsed = self._parse([(bytes(name), bytes(value)) for name, value in fields])
        if self._table.state() != state:
            self._known.clear()
        elif len(block) <= _CACHED_BLOCK_SIZE:
            if len(self._known) >= _CACHED_BLOCKS:
                self._known.clear()
            self._known[block] = parsed
        return parsed


class _CountingTable(HeaderTable):
    """A dynamic table that tells whether it changed."""

    def __init__(self) -> None:
        super().__init__()
        self._additions = 0

    def state(self) -> tuple[int, int, int]:
        """Return what differs after every change that later blocks depend on."""
        return self._additions, len(self.dynamic_entries), self.maxsize

    def add(self, name: bytes, value: bytes) -> None:
        """Add an entry."""
        self._additions += 1
        super().add(name, value)


def literal(name: bytes, value: bytes) -> bytes:
    """Return a field without indexing and with a new name (RFC 7541, 6.2.2)."""
    return b"\0" + _string(name) + _string(value)


def _string(value: bytes) -> bytes:
    """Return a string literal without Huffman coding (RFC 7541, 5.2)."""
    return _integer(len(value)) + value


def _integer(value: int) -> bytes:
    """Return an integer with a 7-bit prefix (RFC 7541, 5.1)."""
    if value < 0x7F:
        return bytes((value,))
    rest = bytearray((0x7F,))
    value -= 0x7F
    while value >= 0x80:
        rest.append(value & 0x7F | 0x80)
        value >>= 7
    rest.append(value)
    return bytes(rest)
