"""Cutting the input of a connection into frames, and headers together from them."""

from __future__ import annotations

import abc
import socket
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from snapfs.rpc import frames
from snapfs.rpc.frames import ConnectionFault, ErrorCode, StreamFault
from snapfs.rpc.header_blocks import MAX_HEADER_LIST_SIZE

_READ_BYTES: Final = 65536

# A header block is bounded before it is decoded (the CONTINUATION flood of
# CVE-2024-27316 and its like): what decoded fits into the list size does so encoded.
_MAX_BLOCK_BYTES: Final = MAX_HEADER_LIST_SIZE
_MAX_BLOCK_FRAMES: Final = 64

_PRIORITY_SIZE: Final = 5

# Takes flags, stream and payload.
FrameHandler: TypeAlias = Callable[[int, int, bytes], None]


class FrameReader(abc.ABC):
    """Reads frames and hands each one to what handles its type.

    At any time there is one table of handlers: for the first frame, within a header
    block, and for all other frames.

    Args:
        sock: Connected.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._rest = b""  # of the input: a frame that is not complete
        self._block = b""
        self._block_frames = 0
        self._block_stream = 0
        self._block_ends = False
        self._usual: Final = _table(
            {**self._frame_handlers(), frames.HEADERS: self._on_headers_frame},
            self._on_unknown,
        )
        self._within_block: Final = _table(
            {frames.CONTINUATION: self._on_continuation}, _refuse_within_block
        )
        # The first frame of each side is SETTINGS (RFC 9113, 3.4).
        self._handlers = _table(
            {frames.SETTINGS: self._on_first_settings}, _refuse_as_first
        )

    @abc.abstractmethod
    def _frame_handlers(self) -> Mapping[int, FrameHandler]:
        """Return what handles each known type of frame but HEADERS."""

    @abc.abstractmethod
    def _on_unknown(self, flags: int, stream_id: int, payload: bytes) -> None:
        """Handle a frame of another type."""

    @abc.abstractmethod
    def _on_headers(self, stream_id: int, block: bytes, *, ends: bool) -> None:
        """Handle a complete header block; it must be decoded, whatever the stream."""

    @abc.abstractmethod
    def _on_stream_fault(self, fault: StreamFault) -> None:
        """End the stream on which the peer broke a rule, and tell it."""

    @abc.abstractmethod
    def _after_read(self) -> bool:
        """Do what is due whenever the input is used up.

        Returns:
            Whether to read on; if not, another thread does, and nothing here may be
            touched any longer.
        """

    @abc.abstractmethod
    def _on_greeted(self) -> None:
        """Take note that the peer's first frame was as it must be."""

    def _read_frames(self, data: bytes = b"") -> bool:
        """Handle frames, ``data`` first, until the peer sends no more.

        Returns:
            Whether that is so; if not, another thread reads on.

        Raises:
            ConnectionFault: The peer broke a rule.
            OSError: The connection broke.
        """
        receive = self._sock.recv
        while True:
            self._rest = self._handle(self._rest + data if self._rest else data)
            if not self._after_read():
                return False
            data = receive(_READ_BYTES)
            if not data:
                return True

    def _handle(self, data: bytes) -> bytes:
        """Handle the frames that are complete; return what is left."""
        position, end = 0, len(data)
        unpack = frames.HEAD.unpack_from
        while end - position >= frames.HEAD_SIZE:
            high, low, kind, flags, stream_id = unpack(data, position)
            size = high << 8 | low
            if size > frames.DEFAULT_FRAME_SIZE:
                raise ConnectionFault(
                    ErrorCode.FRAME_SIZE_ERROR, f"a frame of {size} bytes"
                )
            start = position + frames.HEAD_SIZE
            if start + size > end:
                break
            position = start + size
            try:
                self._handlers[kind](
                    flags, stream_id & frames.MAX_31_BITS, data[start:position]
                )
            except StreamFault as fault:
                self._on_stream_fault(fault)
        return data[position:]

    def _on_first_settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        if flags & frames.ACK:
            _refuse_as_first(flags, stream_id, payload)
        self._handlers = self._usual
        self._handlers[frames.SETTINGS](flags, stream_id, payload)
        self._on_greeted()

    def _on_headers_frame(self, flags: int, stream_id: int, payload: bytes) -> None:
        if not stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "HEADERS on stream 0")
        if flags & (frames.PADDED | frames.PRIORITIZED):
            payload = frames.unpadded(flags, payload)
            if flags & frames.PRIORITIZED:
                payload = _without_priority(payload)
        ends = bool(flags & frames.END_STREAM)
        if flags & frames.END_HEADERS:
            self._on_headers(stream_id, payload, ends=ends)
            return
        self._block = payload
        self._block_frames = 0
        self._block_stream = stream_id
        self._block_ends = ends
        self._handlers = self._within_block

    def _on_continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id != self._block_stream:
            raise ConnectionFault(
                ErrorCode.PROTOCOL_ERROR, "CONTINUATION on another stream"
            )
        self._block += payload
        self._block_frames += 1
        if (
            len(self._block) > _MAX_BLOCK_BYTES
            or self._block_frames > _MAX_BLOCK_FRAMES
        ):
            raise ConnectionFault(
                ErrorCode.ENHANCE_YOUR_CALM, "the headers are too long"
            )
        if flags & frames.END_HEADERS:
            block, self._block = self._block, b""
            self._handlers = self._usual
            self._on_headers(stream_id, block, ends=self._block_ends)


def _table(
    handlers: Mapping[int, FrameHandler], others: FrameHandler
) -> list[FrameHandler]:
    return [handlers.get(kind, others) for kind in range(256)]


def _refuse_as_first(flags: int, stream_id: int, payload: bytes) -> None:
    raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "the first frame is not SETTINGS")


def _refuse_within_block(flags: int, stream_id: int, payload: bytes) -> None:
    raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a frame within a header block")


def _without_priority(payload: bytes) -> bytes:
    if len(payload) < _PRIORITY_SIZE:
        raise ConnectionFault(
            ErrorCode.FRAME_SIZE_ERROR, "HEADERS without room for the priority"
        )
    return payload[_PRIORITY_SIZE:]
