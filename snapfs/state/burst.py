"""Bursts: calls that follow each other so fast that other work should wait."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable


class Burst:
    """Lets background work wait until calls stop coming; for any threads.

    Args:
        quiet_s: A burst is over when so long no call came.
        longest_s: For so long the work may be put off.
    """

    def __init__(self, quiet_s: float, longest_s: float = math.inf) -> None:
        self._quiet_s = quiet_s
        self._longest_s = longest_s
        self._last_s = -math.inf
        self._given_up = threading.Event()

    def note_call(self) -> None:
        """Say that a call came."""
        self._last_s = time.monotonic()

    def give_up(self) -> None:
        """End every wait, now and later: there will be no more work."""
        self._given_up.set()

    def let_pass(self, is_urgent: Callable[[], bool] = lambda: False) -> None:
        """Return when the burst is over, or the work may not wait any longer.

        ``is_urgent`` is asked now and whenever the burst might have been over.
        """
        deadline = time.monotonic() + self._longest_s
        while not is_urgent():
            end = min(self._last_s + self._quiet_s, deadline)
            rest_s = end - time.monotonic()
            if rest_s <= 0 or self._given_up.wait(rest_s):
                return
