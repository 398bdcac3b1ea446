"""From blocks of samples to estimates: pure arithmetic, the same for any order."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence

from snapfs.benchmarks.estimates import (
    Interval,
    bootstrap_interval,
    has_quantile,
    quantile,
    quantile_interval,
)
from snapfs.benchmarks.results import Block, Comparison, Estimate, Sample, Spread
from snapfs.benchmarks.verdicts import Effect, judge, log_ratios, noise_floor

_P50 = 0.5
_P99 = 0.99


def estimate_all(
    blocks: Sequence[Block],
    instances: Sequence[str],
    reference: str,
    control: str,
    seed: str,
) -> dict[str, Estimate]:
    """Estimate every instance from the kept blocks.

    ``seed`` fixes the resampling. Instances are independent of each other.
    """
    kept = kept_blocks(blocks)
    ratios = pair_with_reference(kept, instances, reference)
    floor = noise_floor(ratios[control])
    found = {}
    for name in instances:
        samples = [block.samples[name] for block in kept]
        effect = None
        if name != reference:
            effect = judge(ratios[name], floor, f"{seed}/{name}/ratio")
        found[name] = _estimate(samples, f"{seed}/{name}", effect)
    return found


def kept_blocks(blocks: Iterable[Block]) -> list[Block]:
    """Return the blocks that count, by number."""
    return sorted(
        (block for block in blocks if not block.is_discarded),
        key=lambda block: block.number,
    )


def block_medians(blocks: Sequence[Block], name: str) -> list[float]:
    """Return one time a block: the median of the instance's samples in it."""
    return [
        statistics.median(sample.seconds for sample in block.samples[name])
        for block in blocks
    ]


def pair_with_reference(
    blocks: Sequence[Block], instances: Sequence[str], reference: str
) -> dict[str, list[float]]:
    """Return the log-ratios to the reference, pair by pair, of all other instances."""
    kept = kept_blocks(blocks)
    base = block_medians(kept, reference)
    return {
        name: log_ratios(block_medians(kept, name), base)
        for name in instances
        if name != reference
    }


def family_ratio(
    comparisons: Sequence[Comparison], name: str, seed: str
) -> tuple[float, Interval]:
    """Return the geometric mean of a target's ratios over cells, and its interval.

    Every comparison must have ``name`` in it.
    """
    groups = [
        pair_with_reference(each.blocks, [name], each.reference)[name]
        for each in comparisons
    ]
    centre = statistics.fmean(statistics.median(group) for group in groups)
    interval = bootstrap_interval(groups, seed)
    return math.exp(centre), Interval(
        math.exp(interval.low), math.exp(interval.high), interval.coverage
    )


def _estimate(
    blocks: Sequence[Sequence[Sample]], seed: str, effect: Effect | None
) -> Estimate:
    times = [[sample.seconds for sample in block] for block in blocks]
    medians = [statistics.median(block) for block in times]
    median = statistics.median(medians)
    around = bootstrap_interval([medians], f"{seed}/median")
    latencies = [
        [latency for sample in block for latency in sample.latencies]
        for block in blocks
    ]
    count = sum(map(len, latencies))
    moved = [
        sample.bytes / sample.operations
        for block in blocks
        for sample in block
        if sample.bytes
    ]
    return Estimate(
        samples=sum(map(len, times)),
        minimum=min(map(min, times)),
        median=Spread(median, around.low, around.high),
        p50=_spread(latencies, _P50, seed),
        p99=_spread(latencies, _P99, seed) if has_quantile(count, _P99) else None,
        bytes_per_s=statistics.median(moved) / median if moved else 0.0,
        effect=effect,
    )


def _spread(blocks: Sequence[Sequence[float]], fraction: float, seed: str) -> Spread:
    value = quantile(sorted(each for block in blocks for each in block), fraction)
    around = quantile_interval(blocks, fraction, f"{seed}/p{fraction}")
    return Spread(value, around.low, around.high)
