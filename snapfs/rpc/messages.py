"""Messages in DATA frames: gRPC's Length-Prefixed-Message.

One byte says whether it is compressed, four how long it is
(grpc/doc/PROTOCOL-HTTP2.md, Requests). A message may end anywhere in a frame.
"""

from __future__ import annotations

import struct
from typing import Final

from snapfs.rpc.status import INTERNAL, RESOURCE_EXHAUSTED, UNIMPLEMENTED, RpcError

_PREFIX: Final = struct.Struct(">BI")
PREFIX_SIZE: Final = _PREFIX.size

# containerd's limit in both directions (defaults/defaults.go).
MAX_MESSAGE_BYTES: Final = 16 << 20


def prefixed(message: bytes) -> bytes:
    """Return a message as it is sent."""
    return _PREFIX.pack(0, len(message)) + message


def only_message(payload: bytes) -> bytes | None:
    """Return the message if ``payload`` is exactly one, not compressed; else None."""
    size = len(payload) - PREFIX_SIZE
    if size >= 0 and _PREFIX.unpack_from(payload) == (0, size):
        return payload[PREFIX_SIZE:]
    return None


class MessageReader:
    """Puts the messages of one stream together.

    Args:
        max_bytes: How long a message may be. A longer one is refused when its length
            is known, before its bytes are kept.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()
        self._wanted: int | None = None

    @property
    def kept_bytes(self) -> int:
        """How much of an unfinished message there is."""
        return len(self._buffer)

    def feed(self, payload: bytes) -> list[bytes]:
        """Take the content of a DATA frame; return the messages that it completes.

        Raises:
            RpcError: A message is compressed (``UNIMPLEMENTED``; we announce identity
                only), or too long (``RESOURCE_EXHAUSTED``).
        """
        self._buffer += payload
        messages: list[bytes] = []
        while True:
            if self._wanted is None:
                if len(self._buffer) < PREFIX_SIZE:
                    return messages
                self._wanted = self._checked_size()
            end = PREFIX_SIZE + self._wanted
            if len(self._buffer) < end:
                return messages
            messages.append(bytes(memoryview(self._buffer)[PREFIX_SIZE:end]))
            del self._buffer[:end]
            self._wanted = None

    def finish(self) -> None:
        """Take note that nothing follows.

        Raises:
            RpcError: In the middle of a message.
        """
        if self._buffer:
            raise RpcError(INTERNAL, "the stream ended in the middle of a message")

    def _checked_size(self) -> int:
        compressed, size = _PREFIX.unpack_from(self._buffer)
        if compressed:
            raise RpcError(UNIMPLEMENTED, "compressed messages are not supported")
        if size > self._max_bytes:
            raise RpcError(
                RESOURCE_EXHAUSTED,
                f"a message of {size} bytes is longer than {self._max_bytes}",
            )
        return int(size)
