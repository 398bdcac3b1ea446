"""A target in a scenario, over all cells: its ratio, and what may be said of it."""

from __future__ import annotations

import dataclasses
import enum
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

from snapfs.benchmarks.html.collection import Collection, Entry
from snapfs.benchmarks.summary import family_ratio
from snapfs.benchmarks.verdicts import MINIMUM_EFFECT, Verdict
from snapfs.benchmarks.wording import factor


@dataclasses.dataclass(frozen=True, slots=True)
class Standing:
    """The geometric mean of a target's ratios to one baseline in one scenario.

    Attributes:
        low, high: Its 95 % interval, by bootstrap over blocks.
        cells: Of how many cells.
        floor: How far the baseline seems to differ from itself, by the same sum;
            3 % at least.
    """

    scenario: str
    target: str
    reference: str
    ratio: float
    low: float
    high: float
    cells: int
    floor: float

    @property
    def verdict(self) -> Verdict:
        """What the interval and the floor allow to be said."""
        if self.low <= 1 <= self.high or self._effect <= self.floor:
            return Verdict.SAME
        return Verdict.FASTER if self.ratio < 1 else Verdict.SLOWER

    @property
    def _effect(self) -> float:
        return max(self.ratio, 1 / self.ratio) - 1


class Shade(enum.StrEnum):
    """Classes of difference, for colour; beyond 5, 25 and 50 % as in FAST'17."""

    SAME = "same"
    SLIGHT = "1"
    CLEAR = "2"
    LARGE = "3"


_BOUNDS = ((2.0, Shade.LARGE), (1.25, Shade.CLEAR), (1.0, Shade.SLIGHT))


def shade(standing: Standing) -> Shade:
    """Return how strongly a standing is coloured; not at all if nothing is shown."""
    if standing.verdict is Verdict.SAME:
        return Shade.SAME
    times = max(standing.ratio, 1 / standing.ratio)
    return next(name for bound, name in _BOUNDS if times > bound)


def all_standings(collection: Collection) -> Mapping[str, Sequence[Standing]]:
    """Return the standings in each scenario, in the order of the collection."""
    return {
        name: tuple(standings(entries))
        for name, entries in collection.scenarios.items()
    }


def standings(entries: Sequence[Entry]) -> Iterator[Standing]:
    """Yield the standing of every target but the baselines; baselines apart."""
    comparisons = [entry.comparison for entry in entries]
    by_reference = sorted(comparisons, key=lambda each: each.reference)
    for reference, group in itertools.groupby(by_reference, lambda c: c.reference):
        cells = list(group)
        seed = f"{entries[0].run.seed}/{cells[0].scenario}/{reference}"
        control = cells[0].control
        _, noise = family_ratio(cells, control, f"{seed}/{control}")
        floor = max(MINIMUM_EFFECT, noise.high - 1, 1 / noise.low - 1)
        for name in sorted({name for each in cells for name in each.instances}):
            if name in (reference, control):
                continue
            having = [each for each in cells if name in each.instances]
            ratio, interval = family_ratio(having, name, f"{seed}/{name}")
            yield Standing(
                scenario=entries[0].heading,
                target=name,
                reference=reference,
                ratio=ratio,
                low=interval.low,
                high=interval.high,
                cells=len(having),
                floor=floor,
            )


def in_words(standing: Standing) -> str:
    """Say what the interval allows, and no more."""
    low, high = standing.low, standing.high
    cells = f"{standing.cells} cell{'s' if standing.cells > 1 else ''}"
    if standing.verdict is Verdict.SAME:
        resolution = max(standing.floor, high - 1, 1 / low - 1)
        percent = "unknown" if math.isinf(resolution) else f"{resolution:.0%}"
        return f"no difference above {percent} from {standing.reference} ({cells})"
    ratio = standing.ratio
    if ratio < 1:
        ratio, low, high = 1 / ratio, 1 / high, 1 / low
    return (
        f"{factor(ratio)} ({factor(low)} … {factor(high)}) times {standing.verdict} "
        f"than {standing.reference} ({cells})"
    )
