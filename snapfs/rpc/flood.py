"""A bound on frames that cost us work and bring nobody forward.

Pings, settings, resets and the like are allowed in bursts and in proportion to calls
answered; a peer that sends nothing else is told to calm down (RFC 9113, 10.5; the
resets are CVE-2023-44487, the pings and settings CVE-2019-9512 and -9515).
"""

from __future__ import annotations

import time
from typing import Final

from snapfs.rpc.frames import ConnectionFault, ErrorCode

# A Go client pings once per round trip while data arrives, each answered call or sent
# frame pays for several.
_CREDIT: Final = 4

# One for each KiB: other implementations open their windows by 16 KiB or more.
_CREDIT_BYTES_SHIFT: Final = 10

_BURST: Final = 10_000
_PER_SECOND: Final = 1_000

# A reset or refused stream costs about ten times as much as a ping.
COSTLY: Final = 10


class FloodGauge:
    """Counts what one peer costs us.

    Counted by the connection's reader. Credits come from any thread without a lock:
    one that is lost matters to nobody.
    """

    def __init__(self) -> None:
        self._level = 0.0
        self._since = time.monotonic()

    def count(self, weight: int = 1) -> None:
        """Count a frame.

        Raises:
            ConnectionFault: There were too many.
        """
        self._level += weight
        if self._level > _BURST:
            now = time.monotonic()
            drained = (now - self._since) * _PER_SECOND
            self._since = now
            self._level = max(0.0, self._level - drained)
            if self._level > _BURST:
                raise ConnectionFault(
                    ErrorCode.ENHANCE_YOUR_CALM, "too many frames that ask for nothing"
                )

    def credit(self) -> None:
        """Take note that a call was answered or a message sent or received."""
        if self._level > 0:
            self._level -= _CREDIT

    def credit_bytes(self, count: int) -> None:
        """Take note of content that was sent; its windows have to be opened again.

        By bytes, not by frames: a peer that opens windows by single bytes costs us as
        much as one that pings (CVE-2019-9511).
        """
        if self._level > 0:
            self._level -= count >> _CREDIT_BYTES_SHIFT
