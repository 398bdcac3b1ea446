"""The first exchange on a new connection: INIT and its reply."""

from __future__ import annotations

import errno
import os

from snapfs.fuse.wire import Negotiated, Opcode, Wishes, negotiate
from snapfs.fuse.wire.negotiation import MAJOR, downgrade_reply, major_of
from snapfs.fuse.wire.structs import IN_HEADER, OUT_HEADER
from snapfs.light_typing import Final

# FUSE_MIN_READ_BUFFER; before the INIT has been answered max_write is a page.
_BUFFER_BYTES: Final = 64 << 10


def initialise(fd: int, wishes: Wishes) -> Negotiated:
    """Answer the INIT that waits on a freshly mounted descriptor.

    Raises:
        OSError: ENODEV, unmounted meanwhile; EPROTO, no common protocol, and the
            kernel has been told.
    """
    while True:
        opcode, unique, body = _read(fd)
        if opcode != Opcode.INIT:
            raise OSError(errno.EPROTO, f"request {opcode} before INIT")
        if major_of(body) > MAJOR:
            _reply(fd, unique, 0, downgrade_reply())
            continue
        try:
            agreed = negotiate(body, wishes)
        except OSError:
            _reply(fd, unique, -errno.EPROTO, b"")
            raise
        _reply(fd, unique, 0, agreed.reply)
        return agreed.negotiated


def _read(fd: int) -> tuple[int, int, bytes]:
    while True:
        try:
            raw = os.read(fd, _BUFFER_BYTES)
        except OSError as error:
            # The request was aborted between being queued and being read.
            if error.errno == errno.ENOENT:
                continue
            raise
        _, opcode, unique, *_ = IN_HEADER.unpack_from(raw)
        return opcode, unique, raw[IN_HEADER.size :]


def _reply(fd: int, unique: int, error: int, payload: bytes) -> None:
    os.write(
        fd, OUT_HEADER.pack(OUT_HEADER.size + len(payload), error, unique) + payload
    )
