"""How the comparisons of a run share the time that it should take."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence


class TimeShares:
    """What is left is shared by those that are left, in proportion to their guesses.

    Args:
        guesses_s: What each comparison would take with all its blocks.
        whole_s: What all together should take, from now on.
        clock: Seconds.
    """

    def __init__(
        self,
        guesses_s: Sequence[float],
        whole_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._guesses_s = guesses_s
        self._whole_s = whole_s
        self._clock = clock
        self._end = clock() + whole_s

    def expected_s(self) -> list[float]:
        """Return what each is expected to take, its share if time is short."""
        total = sum(self._guesses_s)
        shrink = min(1.0, self._whole_s / total) if total else 1.0
        return [guess * shrink for guess in self._guesses_s]

    def budget_s(self, index: int) -> float:
        """Return what comparison ``index``, which begins now, may take; 0 if late."""
        share = self._guesses_s[index] / sum(self._guesses_s[index:])
        return max(0.0, self._end - self._clock()) * share
