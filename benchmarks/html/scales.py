"""Logarithmic axes: where a value lies, and which values get a tick."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Final

_BINARY_PREFIXES: Final = ((2**30, "G"), (2**20, "M"), (2**10, "K"))
_MOST_TICKS: Final = 7
_MOST_RATIO_TICKS: Final = 5  # their labels stand side by side


@dataclasses.dataclass(frozen=True, slots=True)
class LogScale:
    """Maps ``low`` ... ``high`` to ``start`` ... ``end``, by logarithm.

    What lies outside is put on the edge.
    """

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the coordinate of ``value``."""
        span = math.log(self.high / self.low)
        share = math.log(max(value, self.low) / self.low) / span
        return self.start + min(1.0, share) * (self.end - self.start)


def ratio_bounds(values: Iterable[float]) -> tuple[float, float]:
    """Return powers of 2 around all ``values`` and 1, at least 1/2 and 2."""
    finite = [value for value in values if 0 < value < math.inf]
    low = 2.0 ** math.floor(math.log2(min([*finite, 0.5])))
    high = 2.0 ** math.ceil(math.log2(max([*finite, 2.0])))
    return low, high


def ratio_ticks(low: float, high: float) -> Sequence[float]:
    """Return powers of 2 from ``low`` to ``high``, 1 among them, not too many."""
    first, last = round(math.log2(low)), round(math.log2(high))
    step = max(1, math.ceil((last - first) / (_MOST_RATIO_TICKS - 1)))
    down = [2.0**-n for n in range(0, -first + 1, step)]
    up = [2.0**n for n in range(step, last + 1, step)]
    return [*reversed(down), *up]


def ratio_words(value: float) -> str:
    """Return a power of 2 as people write it: ``1/4``, ``1``, ``4``."""
    return f"{value:.0f}" if value >= 1 else f"1/{1 / value:.0f}"


def decade_bounds(values: Iterable[float]) -> tuple[float, float]:
    """Return bounds around positive ``values``, from 1, 2 or 5 of a decade to such."""
    finite = [value for value in values if value > 0]
    return _step_down(min(finite) * 0.9), _step_up(max(finite) * 1.1)


def decade_ticks(low: float, high: float) -> Sequence[float]:
    """Return 1, 2 and 5 of each decade, or only 1 where that is too many."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for factors in ((1, 2, 5), (1, 3), (1,)):
        found = [
            factor * 10.0**power
            for power in range(first, last + 1)
            for factor in factors
            if low * 0.999 <= factor * 10.0**power <= high * 1.001
        ]
        if len(found) <= _MOST_TICKS:
            break
    return found


def _step_down(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return max(factor * power for factor in (1, 2, 5) if factor * power <= value)


def _step_up(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return min(factor * power for factor in (1, 2, 5, 10) if factor * power >= value)


def quantity(name: str, value: float) -> str:
    """Return a parameter's value: sizes in binary units, others as they are."""
    if name.endswith("_bytes"):
        for size, prefix in _BINARY_PREFIXES:
            if value >= size:
                return f"{value / size:g}{prefix}"
    return f"{value:g}"
