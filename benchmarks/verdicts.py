"""Whether a target is faster than the reference: one rule, fixed beforehand.

Times are compared in pairs, within blocks, by the logarithm of their ratio. The
reference runs twice in each block under two names; how far its two halves seem to
differ is the noise floor. A difference counts only if its interval excludes "equal"
and the difference itself is larger than the floor, and larger than 3 %.
"""

from __future__ import annotations

import dataclasses
import enum
import math
import statistics
from collections.abc import Sequence
from typing import Final

from snapfs.benchmarks.estimates import (
    Interval,
    bootstrap_interval,
    median_interval,
)

# Smaller differences are real at times and never matter.
MINIMUM_EFFECT: Final = 0.03

# More blocks are measured until the interval is narrower than this, or time is up.
WANTED_HALF_WIDTH: Final = 0.05


class Verdict(enum.StrEnum):
    """What the pairs say of a target, measured against the reference."""

    FASTER = "faster"
    SLOWER = "slower"
    SAME = "same"
    UNKNOWN = "unknown"  # fewer than 6 blocks: no interval covers 95 %


@dataclasses.dataclass(frozen=True, slots=True)
class Effect:
    """How the time of a target relates to that of the reference.

    Attributes:
        ratio: Median of time over reference time; below 1 is faster.
        low, high: The distribution-free interval of ``ratio``; (0, inf) if there are
            too few blocks. It decides.
        bootstrap_low, bootstrap_high: The bootstrap interval, for comparison.
        coverage: The probability that such an interval covers the true median.
        blocks: The pairs behind it.
        floor: Differences up to this (0.03: 3 %) are noise.
        verdict: The outcome of the rule.
    """

    ratio: float
    low: float
    high: float
    bootstrap_low: float
    bootstrap_high: float
    coverage: float
    blocks: int
    floor: float
    verdict: Verdict

    @property
    def resolution(self) -> float:
        """The largest difference that a verdict of "same" does not exclude."""
        if self.low <= 0:
            return math.inf
        return max(self.floor, self.high - 1, 1 / self.low - 1)


def log_ratios(times: Sequence[float], reference: Sequence[float]) -> list[float]:
    """Return the logarithms of the ratios, pair by pair."""
    return [math.log(a / b) for a, b in zip(times, reference, strict=True)]


def noise_floor(control: Sequence[float]) -> float:
    """Return the floor that the log-ratios of the A/A control give; inf if too few."""
    interval = median_interval(control)
    if interval is None:
        return math.inf
    return max(MINIMUM_EFFECT, math.expm1(interval.reach))


def judge(ratios: Sequence[float], floor: float, seed: str) -> Effect:
    """Apply the rule to the log-ratios of a target."""
    centre = statistics.median(ratios)
    interval = median_interval(ratios)
    resampled = bootstrap_interval([ratios], seed)
    return Effect(
        ratio=math.exp(centre),
        low=math.exp(interval.low) if interval else 0.0,
        high=math.exp(interval.high) if interval else math.inf,
        bootstrap_low=math.exp(resampled.low),
        bootstrap_high=math.exp(resampled.high),
        coverage=interval.coverage if interval else 0.0,
        blocks=len(ratios),
        floor=floor,
        verdict=decide(centre, interval, floor),
    )


def decide(centre: float, interval: Interval | None, floor: float) -> Verdict:
    """Return the verdict on a log-ratio with its interval."""
    if interval is None or math.isinf(floor):
        return Verdict.UNKNOWN
    if interval.contains(0.0) or abs(centre) <= math.log1p(floor):
        return Verdict.SAME
    return Verdict.FASTER if centre < 0 else Verdict.SLOWER


def is_settled(ratios: Sequence[float]) -> bool:
    """Whether more blocks would hardly narrow what is known."""
    interval = median_interval(ratios)
    return interval is not None and interval.half_width < WANTED_HALF_WIDTH
