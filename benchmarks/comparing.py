"""Two results side by side: what changed from one run to the next.

Runs are not interleaved with each other, so times alone say little. What is compared
is each target's ratio to the baseline of its own run, in which the machine's mood
cancels. The baseline itself can only be compared in absolute time.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterator, Sequence

from snapfs.benchmarks.estimates import Interval, median_interval
from snapfs.benchmarks.results import Comparison, Results
from snapfs.benchmarks.summary import block_medians, kept_blocks, pair_with_reference
from snapfs.benchmarks.verdicts import Verdict, decide, noise_floor


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """How one target changed at one cell.

    Attributes:
        label: The cell.
        before, after: Median seconds of one operation.
        ratio: After over before; below 1 is faster.
        low, high: Its interval; (0, inf) with fewer than 6 blocks on a side.
        is_relative: Whether the ratio is that of the ratios to the baseline.
    """

    scenario: str
    label: str
    target: str
    before: float
    after: float
    ratio: float
    low: float
    high: float
    floor: float
    is_relative: bool
    verdict: Verdict


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """Two results compared.

    Attributes:
        warnings: Why the comparison may mislead.
        only_before, only_after: Cells and targets that one of them lacks.
    """

    changes: tuple[Change, ...]
    warnings: tuple[str, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]


def compare_results(before: Results, after: Results) -> Difference:
    """Compare what both results have."""
    old, new = _by_cell(before), _by_cell(after)
    shared = [key for key in new if key in old]
    return Difference(
        changes=tuple(
            change for key in shared for change in _changes(old[key], new[key])
        ),
        warnings=tuple(_warnings(before, after)),
        only_before=tuple(" ".join(key) for key in old if key not in new),
        only_after=tuple(" ".join(key) for key in new if key not in old),
    )


def _by_cell(results: Results) -> dict[tuple[str, str], Comparison]:
    return {(each.scenario, each.label): each for each in results.comparisons}


def _warnings(before: Results, after: Results) -> Iterator[str]:
    if before.machine.identity != after.machine.identity:
        yield (
            "the machines differ: "
            f"{before.machine.cpu}, Linux {before.machine.kernel} and "
            f"{after.machine.cpu}, Linux {after.machine.kernel}"
        )
    if before.machine.settings != after.machine.settings:
        yield "kernel settings differ"
    filesystems = [
        {each.backing.partition(" ")[0] for each in results.comparisons}
        for results in (before, after)
    ]
    if filesystems[0] != filesystems[1]:
        yield "the backing filesystems differ"


def _changes(before: Comparison, after: Comparison) -> Iterator[Change]:
    is_relative = before.reference == after.reference
    shared = [
        name
        for name in after.instances
        if name in before.instances and name != after.control
    ]
    floor = max(_floor(before), _floor(after))
    for name in shared:
        relative = is_relative and name != after.reference
        logs = [_logarithms(each, name, relative) for each in (before, after)]
        ratio = statistics.median(logs[1]) - statistics.median(logs[0])
        interval = difference_interval(*logs)
        yield Change(
            scenario=after.scenario,
            label=after.label,
            target=name,
            before=before.estimates[name].median.value,
            after=after.estimates[name].median.value,
            ratio=math.exp(ratio),
            low=math.exp(interval.low) if interval else 0.0,
            high=math.exp(interval.high) if interval else math.inf,
            floor=floor,
            is_relative=relative,
            verdict=decide(ratio, interval, floor),
        )


def _floor(comparison: Comparison) -> float:
    ratios = pair_with_reference(
        comparison.blocks, [comparison.control], comparison.reference
    )
    return noise_floor(ratios[comparison.control])


def _logarithms(
    comparison: Comparison, name: str, is_relative: bool
) -> Sequence[float]:
    if is_relative:
        return pair_with_reference(comparison.blocks, [name], comparison.reference)[
            name
        ]
    times = block_medians(kept_blocks(comparison.blocks), name)
    return [math.log(value) for value in times]


def difference_interval(
    before: Sequence[float], after: Sequence[float]
) -> Interval | None:
    """Return an interval for the difference of two medians, of independent samples.

    It spans whatever the intervals of both allow, and so covers at least as often
    as both of them do together.
    """
    old, new = median_interval(before), median_interval(after)
    if old is None or new is None:
        return None
    coverage = old.coverage * new.coverage
    return Interval(new.low - old.high, new.high - old.low, coverage)
