"""What a new server learns from the kernel: the requests that were never answered.

After ``FUSE_NOTIFY_RESEND`` the kernel hands them out first, oldest or not, with a bit
in their ``unique``. What is not among them has been answered, which decides what of
the log counts. FORGETs are not sent again: the one that was read last is found in the
buffer that it was read into.
"""

from __future__ import annotations

import errno
import os

from snapfs.fuse.recovery import records
from snapfs.fuse.recovery.memory import WORD_SUSPECT, SharedMemory
from snapfs.fuse.session import Notifier
from snapfs.fuse.wire import Opcode
from snapfs.fuse.wire.structs import (
    BATCH_FORGET_IN,
    FORGET_IN,
    FORGET_ONE,
    IN_HEADER,
    OUT_HEADER,
)
from snapfs.light_typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from snapfs.fuse.recovery.buffers import SharedBuffers
    from snapfs.fuse.recovery.node_log import NodeLog

RESENT: Final = 1 << 63
"""``FUSE_UNIQUE_RESEND``."""
_NEAR_BYTES: Final = 64 << 10
"""What workers may have written after the record of the last FORGET."""
_FATAL_ATTEMPTS: Final = 3
_FORGETS: Final = (int(Opcode.FORGET), int(Opcode.BATCH_FORGET))


def apply_last_forget(memory: SharedMemory, log: NodeLog, size: int) -> None:
    """Put the message that was read last into the log, if it is a FORGET and not there.

    Before anything is read into the shared buffers.
    """
    last = memory.last_request(size)
    if last is None:
        return
    forget = _forget_in(last)
    if forget is None:
        return
    unique, pairs = forget
    head = records.FORGET_HEAD.pack(
        records.FORGET, len(pairs) // records.PAIR.size, unique
    )
    record = head + pairs
    if bytes(memory.log_view()[-_NEAR_BYTES - len(record) :]).find(record) < 0:
        log.forgotten(unique, pairs)


def _forget_in(message: memoryview) -> tuple[int, bytes] | None:
    _, opcode, unique, nodeid, *_ = IN_HEADER.unpack_from(message)
    if opcode not in _FORGETS:
        return None
    body = message[IN_HEADER.size :]
    if opcode == Opcode.FORGET:
        (count,) = FORGET_IN.unpack_from(body)
        return unique, FORGET_ONE.pack(nodeid, count)
    (number,) = BATCH_FORGET_IN.unpack_from(body)
    end = BATCH_FORGET_IN.size + number * FORGET_ONE.size
    return unique, bytes(body[BATCH_FORGET_IN.size : end])


class Unanswered:
    """The requests of a connection that came again.

    Attributes:
        resent: Whole messages, oldest first.
        further: Messages that were read after them, and are to be answered too.
        uniques: Of ``resent``, without the bit.
    """

    def __init__(self) -> None:
        self.resent: list[bytes] = []
        self.further: list[bytes] = []
        self.uniques: set[int] = set()

    def collect(self, fd: int, buffers: SharedBuffers, log: NodeLog) -> None:
        """Have the kernel send again what is not answered, and read that.

        Raises:
            OSError: EINVAL, the kernel cannot (before 6.9); ENODEV, it is unmounted.
        """
        os.set_blocking(fd, False)
        try:
            Notifier(fd).resend()
            while self._read(fd, buffers, log):
                pass
        finally:
            os.set_blocking(fd, True)
        self.resent.sort(key=_unique_of)
        self.uniques = {_unique_of(message) for message in self.resent}

    def _read(self, fd: int, buffers: SharedBuffers, log: NodeLog) -> bool:
        """Read one message; tell whether there may be another one that came again."""
        try:
            size = os.readv(fd, buffers.vector)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINTR):
                return True
            if error.errno == errno.EAGAIN:
                return False
            raise
        message = buffers.vector[0][:size]
        forget = _forget_in(message)
        if forget is not None:
            log.forgotten(*forget)
            return True
        _, opcode, unique, *_ = IN_HEADER.unpack_from(message)
        if unique & RESENT and opcode != Opcode.INTERRUPT:
            self.resent.append(bytes(message))
            return True
        self.further.append(bytes(message))
        return bool(opcode == Opcode.INTERRUPT)

    def drop_fatal(self, memory: SharedMemory, fd: int) -> int:
        """Answer EIO to a request at which servers died again and again.

        Returns its operation; 0: there is none.
        """
        unique, deaths = memory.words[WORD_SUSPECT], memory.words[WORD_SUSPECT + 1]
        if deaths < _FATAL_ATTEMPTS:
            return 0
        for message in self.resent:
            if _unique_of(message) != unique:
                continue
            _, opcode, sent, *_ = IN_HEADER.unpack_from(message)
            os.write(fd, OUT_HEADER.pack(OUT_HEADER.size, -errno.EIO, sent))
            self.resent.remove(message)
            return int(opcode)
        return 0


def _unique_of(message: bytes) -> int:
    unique: int = IN_HEADER.unpack_from(message)[2]
    return unique & records.UNIQUE_MASK
