"""What a run measures: scenarios, cells and placements, and by which targets."""

from __future__ import annotations

import dataclasses
import difflib
import fnmatch
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

from snapfs.benchmarks import caches
from snapfs.benchmarks.comparison import Schedule
from snapfs.benchmarks.placement import Placement
from snapfs.benchmarks.profiles import cell_words, cells_of
from snapfs.benchmarks.protocols import Cell, Family, Profile, Scenario, Target
from snapfs.benchmarks.scenarios.narrowed import Narrowed
from snapfs.errors import InvalidArgumentError

Factories = Mapping[str, Callable[[], Target]]

# What starting, checking and counting one instance takes, for the first estimate.
_OVERHEAD_S: Final = 1.5

_PLACEMENTS: Final[Mapping[Profile, Sequence[Placement]]] = {
    Profile.QUICK: (Placement.TWO_CPUS,),
    Profile.STANDARD: (Placement.TWO_CPUS,),
    Profile.FULL: (Placement.ONE_CPU, Placement.TWO_CPUS),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Unit:
    """One comparison to make, if its cell can be produced here.

    Attributes:
        targets: Names of targets that the scenario asks, without knowing yet
            whether they are available and honest.
        refused: Targets of its family that it does not ask, and why.
        obstacle: Why it cannot be made on this host; "" if it can.
        is_further: Its cell is of another profile than the one that was asked for.
    """

    scenario: Scenario
    cell: Cell
    placement: Placement
    targets: tuple[str, ...]
    refused: Mapping[str, str]
    obstacle: str
    is_further: bool = False

    @property
    def name(self) -> str:
        """Return the unit in words."""
        words = (self.scenario.name, self.cell.label, self.cell.cache, self.placement)
        return " ".join(filter(None, map(str, words)))

    @property
    def words(self) -> frozenset[str]:
        """Return the words of its cell: parameters and the cache state."""
        return cell_words(self.cell)

    def weight_s(self, schedule: Schedule) -> float:
        """Return a guess of the seconds that it takes."""
        runs = (self.cell.runs + self.cell.warmups) * schedule.looks[-1]
        per_instance = _OVERHEAD_S + runs * self.cell.expected_s
        return per_instance * (len(self.targets) + 1)


def select(known: Iterable[str], wanted: Sequence[str], what: str) -> list[str]:
    """Return the names that match any of the patterns ``wanted``; all for none.

    Raises:
        InvalidArgumentError: A pattern matches nothing.
    """
    names = list(known)
    for pattern in wanted:
        if not fnmatch.filter(names, pattern):
            near = difflib.get_close_matches(pattern, names, n=2)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise InvalidArgumentError(f"no {what} is named {pattern!r}{hint}")
    if not wanted:
        return names
    return [
        name
        for name in names
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in wanted)
    ]


def with_baselines(
    chosen: Collection[str],
    scenarios: Iterable[Scenario],
    known: Collection[str],
    baseline: str = "",
) -> list[str]:
    """Return ``chosen`` and, for scenarios that lack a baseline, their first one.

    With ``baseline`` that one is the baseline of all.
    """
    if baseline:
        return sorted({*chosen, *select(known, [baseline], "target")})
    added = set(chosen)
    for scenario in scenarios:
        baselines = [name for name in scenario.baselines if name in known]
        if baselines and not added.intersection(baselines):
            added.add(baselines[0])
    return sorted(added)


def plan_units(
    scenarios: Sequence[Scenario],
    targets: Mapping[str, Target],
    profile: Profile,
    placements: Sequence[Placement] = (),
    *,
    is_whole: bool = False,
) -> list[Unit]:
    """Return the comparisons that a run makes, in order.

    ``targets`` are instances that are only asked what they are. With ``is_whole`` all
    cells of the scenarios are planned, not only those that the profile chooses; those
    that only other profiles have come as ``is_further``.
    """
    return [
        _unit(scenario, cell, placement, targets, is_further=is_further)
        for scenario in scenarios
        for cell, is_further in _cells(scenario, profile, is_whole=is_whole)
        for placement in placements or _default_placements(profile, scenario.family)
    ]


def _cells(
    scenario: Scenario, profile: Profile, *, is_whole: bool
) -> Iterator[tuple[Cell, bool]]:
    # A scenario with cells of its own choice (``Narrowed``) is not narrowed again.
    if isinstance(scenario, Narrowed) or not is_whole:
        is_narrowed = isinstance(scenario, Narrowed)
        cells = scenario.cells(profile) if is_narrowed else cells_of(scenario, profile)
        yield from ((cell, False) for cell in cells)
        return
    seen: set[frozenset[str]] = set()
    for each in (profile, *Profile):
        for cell in scenario.cells(each):
            if cell_words(cell) not in seen:
                seen.add(cell_words(cell))
                yield cell, each is not profile


def select_cells(units: Sequence[Unit], wanted: Sequence[str]) -> Sequence[Unit]:
    """Return the units whose cell has all words of one of ``wanted``; all for none.

    Words are parameters and the cache state, as in ``depth=32 warm``. Cells of other
    profiles are taken where the asked one has none with these words.

    Raises:
        InvalidArgumentError: One of them matches no cell.
    """
    chosen: set[int] = set()
    for each in wanted:
        words = set(each.split())
        found = {index for index, unit in enumerate(units) if words <= unit.words}
        if not found:
            near = difflib.get_close_matches(each, {_label(unit) for unit in units}, 2)
            hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
            raise InvalidArgumentError(f"no cell here has {each!r}{hint}")
        own = {index for index in found if not units[index].is_further}
        chosen |= own or found
    if not wanted:
        return units
    return [unit for index, unit in enumerate(units) if index in chosen]


def breadth_first(units: Sequence[Unit]) -> Sequence[int]:
    """Return the order in which to measure: places in ``units``.

    The first cell of each scenario comes before the second of any: a run that is
    broken off has something of every question.
    """
    ranks: dict[str, int] = {}
    keys = []
    for place, unit in enumerate(units):
        rank = ranks[unit.scenario.name] = ranks.get(unit.scenario.name, -1) + 1
        keys.append((rank, place))
    return [place for _, place in sorted(keys)]


def _label(unit: Unit) -> str:
    return f"{unit.cell.label} {unit.cell.cache}".strip()


def _default_placements(profile: Profile, family: Family) -> Sequence[Placement]:
    if family is Family.UNPACKER:
        # Commands are the client's children, and run several threads and processes:
        # a CPU for the client would be the only one that they have.
        return (Placement.FREE,)
    possible = [each for each in _PLACEMENTS[profile] if not each.unavailable()]
    return possible or (Placement.ONE_CPU,)


def _unit(
    scenario: Scenario,
    cell: Cell,
    placement: Placement,
    targets: Mapping[str, Target],
    *,
    is_further: bool,
) -> Unit:
    asked = {
        name: scenario.refuses(target)
        for name, target in sorted(targets.items())
        if target.family is scenario.family
    }
    return Unit(
        scenario=scenario,
        cell=cell,
        placement=placement,
        targets=tuple(name for name, reason in asked.items() if not reason),
        refused={name: reason for name, reason in asked.items() if reason},
        obstacle=placement.unavailable() or caches.unavailable(cell.cache),
        is_further=is_further,
    )
