"""Medians, quantiles and their intervals; no distribution is assumed anywhere.

Times on a shared machine are skewed and drift, so nothing here is a mean with a
standard deviation. What is resampled is whole blocks: samples within one block
share its weather.
"""

from __future__ import annotations

import bisect
import dataclasses
import math
import random
import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Final

CONFIDENCE: Final = 0.95

# The ends of a percentile bootstrap move by about 2 % of its width with this many.
RESAMPLES: Final = 4000

# A quantile needs samples beyond it: at least one is expected above p99 of 100.
_BEYOND: Final = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Interval:
    """A closed interval and the probability that such an interval covers."""

    low: float
    high: float
    coverage: float

    def contains(self, value: float) -> bool:
        """Whether ``value`` lies inside."""
        return self.low <= value <= self.high

    @property
    def reach(self) -> float:
        """The larger distance of an end from 0."""
        return max(abs(self.low), abs(self.high))

    @property
    def half_width(self) -> float:
        """Half the distance of the ends."""
        return (self.high - self.low) / 2


def median_interval(values: Sequence[float]) -> Interval | None:
    """Return the order-statistic interval for the median; None below 6 values.

    ``[x(k), x(n+1-k)]`` covers the median with probability
    ``1 - 2 P(Bin(n, 1/2) < k)``, whatever the distribution (David and Nagaraja,
    "Order Statistics", 7.1). The largest k that still covers ``CONFIDENCE`` is used.
    """
    count = len(values)
    ordered = sorted(values)
    best: Interval | None = None
    tail = 0.0
    for k in range(1, count // 2 + 1):
        tail += math.comb(count, k - 1) / 2**count
        coverage = 1 - 2 * tail
        if coverage < CONFIDENCE:
            break
        best = Interval(ordered[k - 1], ordered[count - k], coverage)
    return best


def bootstrap_interval(
    groups: Sequence[Sequence[float]], seed: str, resamples: int = RESAMPLES
) -> Interval:
    """Return the percentile bootstrap interval of the mean of the groups' medians.

    Each group (the blocks of one cell) is resampled by itself. One group gives the
    interval of its median; of log-ratios, several give that of the geometric mean.
    The order within a group does not matter.
    """
    assert groups
    assert all(groups)
    generator = random.Random(seed)  # noqa: S311  # statistics, no secret
    ordered = [sorted(group) for group in groups]
    found = sorted(
        sum(
            statistics.median(generator.choices(group, k=len(group)))
            for group in ordered
        )
        / len(ordered)
        for _ in range(resamples)
    )
    return _percentile_interval(found)


def _percentile_interval(ordered: Sequence[float]) -> Interval:
    tail = (1 - CONFIDENCE) / 2
    last = len(ordered) - 1
    return Interval(
        ordered[math.floor(tail * last)],
        ordered[math.ceil((1 - tail) * last)],
        CONFIDENCE,
    )


def quantile(ordered: Sequence[float], fraction: float) -> float:
    """Return the smallest value with at least ``fraction`` of the values up to it."""
    return ordered[max(0, math.ceil(fraction * len(ordered)) - 1)]


def has_quantile(count: int, fraction: float) -> bool:
    """Whether ``count`` samples can say anything of this quantile."""
    return round(count * (1 - fraction), 9) >= _BEYOND


def quantile_interval(
    blocks: Sequence[Sequence[float]],
    fraction: float,
    seed: str,
    resamples: int = RESAMPLES // 4,
) -> Interval:
    """Return the bootstrap interval of a quantile of all samples, over whole blocks."""
    generator = random.Random(seed)  # noqa: S311  # statistics, no secret
    ordered = sorted(sorted(block) for block in blocks if block)
    merged = sorted(value for block in ordered for value in block)
    found = sorted(
        _weighted_quantile(
            ordered,
            merged,
            Counter(generator.choices(range(len(ordered)), k=len(ordered))),
            fraction,
        )
        for _ in range(resamples)
    )
    return _percentile_interval(found)


def quantile_ratio(
    blocks: Sequence[Sequence[float]],
    reference: Sequence[Sequence[float]],
    fraction: float,
    seed: str,
    resamples: int = RESAMPLES // 4,
    *,
    are_paired: bool,
) -> tuple[float, Interval]:
    """Return the ratio of two quantiles, and its bootstrap interval over blocks.

    With ``are_paired``, equal places are halves of one block, and are resampled
    together. Else the two come from different comparisons: what the machine did in
    between is not taken out.
    """
    generator = random.Random(seed)  # noqa: S311  # statistics, no secret
    halves = [
        [sorted(block) for block in half if block] for half in (blocks, reference)
    ]
    merged = [sorted(value for block in half for value in block) for half in halves]

    def draw() -> float:
        weights = [
            Counter(generator.choices(range(len(half)), k=len(half))) for half in halves
        ]
        above, below = (
            _weighted_quantile(half, values, weight, fraction)
            for half, values, weight in zip(
                halves,
                merged,
                (weights[0], weights[0] if are_paired else weights[1]),
                strict=True,
            )
        )
        return above / below

    value = quantile(merged[0], fraction) / quantile(merged[1], fraction)
    return value, _percentile_interval(sorted(draw() for _ in range(resamples)))


def _weighted_quantile(
    blocks: Sequence[Sequence[float]],
    merged: Sequence[float],
    weights: Counter[int],
    fraction: float,
) -> float:
    """Return the quantile of the blocks repeated ``weights`` times, by bisection.

    Much cheaper than to merge and sort for each resample.
    """
    total = sum(len(blocks[index]) * weight for index, weight in weights.items())
    wanted = max(1, math.ceil(fraction * total))
    low, high = 0, len(merged) - 1
    while low < high:
        middle = (low + high) // 2
        value = merged[middle]
        below = sum(
            bisect.bisect_right(blocks[index], value) * weight
            for index, weight in weights.items()
        )
        if below >= wanted:
            high = middle
        else:
            low = middle + 1
    return merged[low]
