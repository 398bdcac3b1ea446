"""How an answer reaches the kernel, and what an exception answers."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from snapfs.fuse.session.request import Reply
from snapfs.fuse.session.statistics import BYTES_OUT, ERRORS, REPLIES
from snapfs.fuse.wire import opcode_name
from snapfs.fuse.wire.structs import OUT_HEADER
from snapfs.light_typing import Final

_HEADER: Final = OUT_HEADER.size
_JOINED_BYTES: Final = 4096
"""Up to here a copy costs less than a list of two pieces does on its way."""
_LOGGER: Final = "snapfs.fuse.session"

# The kernel takes -511..0 (fuse_dev_do_write); what is beyond is an errno of its own
# that it should not have shown us, such as 524 (ENOTSUPP).
_ERRNO_END: Final = 512

# The caller has been killed, or the filesystem unmounted or aborted: nobody awaits
# the answer any more.
_NOT_AWAITED: Final = frozenset({errno.ENOENT, errno.ENODEV, errno.ECONNABORTED})


class ReplyWriter:
    """Writes answers to the device; one write(2) is one answer, from any thread."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def sender(self, counters: list[int]) -> Callable[[int, Reply], None]:
        """Return :meth:`send` for one thread, fast where the reply is short."""
        fd, write, pack, header = self._fd, os.write, OUT_HEADER.pack, _HEADER

        def send(unique: int, reply: Reply) -> None:
            if type(reply) is not bytes and type(reply) is not memoryview:
                self.send(unique, reply, counters)
                return
            size = len(reply)
            if size > _JOINED_BYTES:
                self.send(unique, reply, counters)
                return
            counters[REPLIES] += 1
            counters[BYTES_OUT] += size
            try:
                write(fd, pack(header + size, 0, unique) + reply)
            except Exception as error:  # noqa: BLE001 - one reply must not end all
                self._refused(unique, error)

        return send

    def send(self, unique: int, reply: Reply, counters: list[int]) -> None:
        """Answer the request ``unique`` and count it in ``counters``.

        What the kernel refuses as malformed is logged and answered EIO.
        """
        counters[REPLIES] += 1
        try:
            if type(reply) is bytes or type(reply) is memoryview:
                size = len(reply)
                counters[BYTES_OUT] += size
                header = OUT_HEADER.pack(_HEADER + size, 0, unique)
                if size <= _JOINED_BYTES:
                    os.write(self._fd, header + reply)
                else:
                    os.writev(self._fd, (header, reply))
            elif isinstance(reply, int):
                counters[ERRORS] += reply != 0
                os.write(self._fd, OUT_HEADER.pack(_HEADER, reply, unique))
            else:
                self._send_parts(unique, reply, counters)
        except Exception as error:  # noqa: BLE001 - one reply must not end all
            self._refused(unique, error)

    def _send_parts(self, unique: int, reply: Reply, counters: list[int]) -> None:
        parts = reply if isinstance(reply, (tuple, list)) else (reply,)
        size = sum(memoryview(part).nbytes for part in parts)
        counters[BYTES_OUT] += size
        header = OUT_HEADER.pack(_HEADER + size, 0, unique)
        os.writev(self._fd, (header, *parts))

    def _refused(self, unique: int, error: Exception) -> None:
        if isinstance(error, OSError) and error.errno in _NOT_AWAITED:
            return
        log_failure("a reply", error)
        try:
            os.write(self._fd, OUT_HEADER.pack(_HEADER, -errno.EIO, unique))
        except OSError as second:
            # The kernel may have answered EIO by itself: then it awaits no more.
            if second.errno not in _NOT_AWAITED:
                raise


def failure(opcode: int, error: Exception) -> int:
    """Return ``-errno`` for what a handler raised; log it if it is not an errno."""
    if isinstance(error, OSError) and error.errno:
        return -error.errno if error.errno < _ERRNO_END else -errno.EIO
    log_failure(opcode_name(opcode), error)
    return -errno.EIO


def log_failure(what: str, error: Exception) -> None:
    """Log an exception that nobody expects, with its trace."""
    import logging  # only now: a mount that never fails need not load it

    logging.getLogger(_LOGGER).error("%s failed; answered EIO", what, exc_info=error)
