"""Which handler a request goes to, and behind what it has to wait."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence

from snapfs.fuse.session.request import Handler, Reply, Request
from snapfs.fuse.session.tracing import Trace, traced
from snapfs.fuse.wire import OPCODE_COUNT, UNANSWERED, Opcode
from snapfs.light_typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from snapfs.fuse.session.workers import Wait, Workers

# What changes a node, or reads data that a task of the node may be writing: waits for
# the node's tasks, so that what a caller does to one node happens in order.
_ORDERED: Final = frozenset(
    map(
        int,
        (
            Opcode.SETATTR,
            Opcode.OPEN,
            Opcode.READ,
            Opcode.WRITE,
            Opcode.FSYNC,
            Opcode.SETXATTR,
            Opcode.REMOVEXATTR,
            Opcode.FALLOCATE,
            Opcode.LSEEK,
            Opcode.COPY_FILE_RANGE,
            Opcode.COPY_FILE_RANGE_64,
        ),
    )
)


class Dispatch:
    """The handlers of a session, complete: there is one for each opcode.

    Attributes:
        idle: Indexed by opcode, for when no worker has a task.
        busy: The same for when some have: a request about one of their nodes waits.

    Args:
        handlers: Indexed by opcode; None, or a missing one, is answered ENOSYS.
        workers: Have the tasks.
        wait_of: As :class:`snapfs.fuse.session.session.Session` takes it.
    """

    __slots__ = ("_plain", "busy", "idle")

    def __init__(
        self,
        handlers: Sequence[Handler | None],
        workers: Workers,
        wait_of: Callable[[Request], Wait | None] | None,
    ) -> None:
        self.idle: list[Handler] = [_unsupported] * OPCODE_COUNT
        for unanswered in UNANSWERED:
            self.idle[unanswered] = _ignored
        self.busy = list(self.idle)
        for opcode, handler in enumerate(handlers[:OPCODE_COUNT]):
            if handler is None:
                continue
            ordered = workers.in_order(handler) if opcode in _ORDERED else handler
            if wait_of is not None:
                # When the wait is over others may have tasks, whoever had none before.
                handler = ordered = workers.after_wait(ordered, wait_of)
            self.idle[opcode], self.busy[opcode] = handler, ordered
        self.idle[Opcode.INTERRUPT] = self.busy[Opcode.INTERRUPT] = workers.interrupt
        self._plain = list(self.idle), list(self.busy)

    def set_trace(self, trace: Trace | None) -> None:
        """Have ``trace`` called for each reply, or no longer; costs nothing if not."""
        for table, plain in zip((self.idle, self.busy), self._plain, strict=True):
            table[:] = (
                plain
                if trace is None
                else [traced(handler, trace) for handler in plain]
            )


def _unsupported(_request: Request) -> Reply:
    return -errno.ENOSYS


def _ignored(_request: Request) -> Reply:
    return None
