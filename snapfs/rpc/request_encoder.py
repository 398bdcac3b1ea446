"""The headers of requests as bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import hpack

from snapfs.rpc.grpc_text import timeout_text
from snapfs.rpc.header_blocks import literal

_DEFAULT_TABLE_SIZE: Final = 4096


class RequestEncoder:
    """Encodes the headers of requests.

    Each field goes into the dynamic table when it is first sent. From then on the same
    path gives the same few bytes, until another one changes the table.

    Args:
        metadata: Sent with each request; names in lower case, values in ASCII.
    """

    def __init__(self, metadata: Sequence[tuple[str, str]] = ()) -> None:
        self._metadata = tuple(metadata)
        self._encoder = hpack.Encoder()
        self._known: dict[str, bytes] = {}

    def encode(self, path: str, timeout_s: float | None) -> bytes:
        """Return a block; blocks must be sent in the order they are made."""
        block = self._known.get(path)
        if block is None:
            block = self._encoder.encode(self._fields(path), huffman=False)
            # One byte with the high bit for each field: nothing was added.
            if min(block) & 0x80:
                self._known[path] = block
            else:
                self._known.clear()
        if timeout_s is not None:
            block += literal(b"grpc-timeout", timeout_text(timeout_s))
        return block

    def set_table_size(self, size: int) -> None:
        """Apply the server's HEADER_TABLE_SIZE; more than the default is not used."""
        self._known.clear()
        self._encoder.header_table_size = min(size, _DEFAULT_TABLE_SIZE)

    def _fields(self, path: str) -> list[tuple[str, str]]:
        return [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "localhost"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("user-agent", "grpc-python-snapfs"),
            *self._metadata,
        ]
