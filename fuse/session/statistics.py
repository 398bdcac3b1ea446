"""Counters of a session, cheap enough to be always on."""

from __future__ import annotations

from snapfs.fuse.wire import OPCODE_COUNT, opcode_name
from snapfs.light_typing import Final

REPLIES: Final = 0
ERRORS: Final = 1
BYTES_IN: Final = 2
BYTES_OUT: Final = 3


class Statistics:
    """What a session has received and answered so far.

    The main loop and the workers count apart, for ``+=`` on a list item is not
    atomic; the properties add both up.

    Attributes:
        requests: How many of each opcode have come, indexed by opcode; the first
            item counts those of opcodes that this protocol does not know.
    """

    __slots__ = ("loop", "requests", "workers")

    def __init__(self) -> None:
        self.requests = [0] * OPCODE_COUNT
        self.loop = [0, 0, 0, 0]
        self.workers = [0, 0, 0, 0]

    @property
    def replies(self) -> int:
        """Answers given, errors included."""
        return self.loop[REPLIES] + self.workers[REPLIES]

    @property
    def errors(self) -> int:
        """Answers that were an error."""
        return self.loop[ERRORS] + self.workers[ERRORS]

    @property
    def bytes_in(self) -> int:
        """Bytes of requests, headers included."""
        return self.loop[BYTES_IN] + self.workers[BYTES_IN]

    @property
    def bytes_out(self) -> int:
        """Bytes of answers without their headers."""
        return self.loop[BYTES_OUT] + self.workers[BYTES_OUT]

    def by_name(self) -> dict[str, int]:
        """Return the requests by the name of their operation; none that are 0."""
        return {
            opcode_name(opcode): count
            for opcode, count in enumerate(self.requests)
            if count
        }
