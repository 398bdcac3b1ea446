"""How far a run is and how long it will still take."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol, TextIO

from snapfs.benchmarks.wording import duration


class Eta:
    """Estimates the time left from what was planned and what it took so far.

    Args:
        weights: The planned seconds of each comparison; only their ratios matter
            once something is done.
        clock: Seconds.
    """

    def __init__(
        self, weights: Sequence[float], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._weights = list(weights)
        self._clock = clock
        self._begin = clock()
        self._index = 0
        self._current_begin = self._begin
        self._fraction = 0.0

    def begin(self, index: int) -> None:
        """Comparison ``index`` begins; all before it are done."""
        self._index = index
        self._current_begin = self._clock()
        self._fraction = 0.0

    def advance(self, fraction: float) -> None:
        """This share of the current comparison is done."""
        self._fraction = min(1.0, fraction)

    def remaining_s(self) -> float:
        """Return the seconds that are probably left."""
        now = self._clock()
        done = sum(self._weights[: self._index])
        current = self._weights[self._index] if self._index < len(self._weights) else 0
        pace = (self._current_begin - self._begin) / done if done else 1.0
        if self._fraction:
            current_pace = (now - self._current_begin) / (self._fraction * current)
            pace = pace if done else current_pace
        else:
            current_pace = pace
        later = sum(self._weights[self._index + 1 :])
        return later * pace + current * (1 - self._fraction) * current_pace


class Progress(Protocol):
    """Who is told how a run proceeds."""

    def begin(self, weights: Sequence[float]) -> None:
        """The run begins; it plans comparisons of so many seconds each."""

    def comparison(self, index: int, name: str, blocks: int) -> None:
        """Comparison ``index`` begins and plans ``blocks`` blocks."""

    def block_done(self, number: int, *, is_discarded: bool) -> None:
        """A block is measured; a discarded one comes again."""

    def end(self) -> None:
        """The run ends, for whatever reason."""


class SilentProgress:
    """Tells nobody."""

    def begin(self, weights: Sequence[float]) -> None:
        """See :class:`Progress`."""

    def comparison(self, index: int, name: str, blocks: int) -> None:
        """See :class:`Progress`."""

    def block_done(self, number: int, *, is_discarded: bool) -> None:
        """See :class:`Progress`."""

    def end(self) -> None:
        """See :class:`Progress`."""


class PrintedProgress:
    """Tells a person: one line that changes on a terminal, else a line a comparison.

    Args:
        stream: Where to; not that of the data.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._eta = Eta(())
        self._count = 0
        self._index = 0
        self._name = ""
        self._blocks = 1
        self._redone = 0

    def begin(self, weights: Sequence[float]) -> None:
        """See :class:`Progress`."""
        self._eta = Eta(weights)
        self._count = len(weights)

    def comparison(self, index: int, name: str, blocks: int) -> None:
        """See :class:`Progress`."""
        self._eta.begin(index)
        self._index, self._name, self._blocks, self._redone = index, name, blocks, 0
        self._show(0)
        if not self._is_terminal:
            self._stream.write(f"{self._line()}\n")
            self._stream.flush()

    def block_done(self, number: int, *, is_discarded: bool) -> None:
        """See :class:`Progress`."""
        self._redone += is_discarded
        done = number + (not is_discarded)
        self._eta.advance(done / self._blocks)
        self._show(done)

    def end(self) -> None:
        """See :class:`Progress`."""
        if self._is_terminal:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def _show(self, done: int) -> None:
        if not self._is_terminal:
            return
        redone = f", {self._redone} redone" if self._redone else ""
        blocks = f"block {done}/{self._blocks}{redone}"
        # Erase to the end of the line (ECMA-48, EL): the next text may be shorter.
        self._stream.write(f"\r{self._line()}, {blocks}\x1b[K")
        self._stream.flush()

    def _line(self) -> str:
        left = duration(self._eta.remaining_s())
        return f"[{self._index + 1}/{self._count}] {self._name}: {left} left"
