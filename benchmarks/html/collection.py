"""Several result files of one machine as one set of comparisons."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from snapfs.benchmarks.results import Comparison, Results, TargetRecord
from snapfs.errors import InvalidArgumentError


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One comparison and the run that it comes from.

    Attributes:
        anchor: The name of its place in the page.
        place: The number of the run and that of the comparison in it.
        heading: The scenario, and the filesystem where it is not that of the first
            comparison: ratios on two filesystems are never put into one number.
    """

    anchor: str
    place: tuple[int, int]
    heading: str
    run: Results
    comparison: Comparison


@dataclasses.dataclass(frozen=True, slots=True)
class Collection:
    """What a page shows.

    Attributes:
        runs: In the order given.
        entries: One for each cell; of a cell that several runs have, the last one's.
        targets: All that any run knows, by name; the last run's word counts.
        left_out: What was asked for and could not be compared, and why.
    """

    runs: tuple[Results, ...]
    entries: tuple[Entry, ...]
    targets: Mapping[str, TargetRecord]
    left_out: Mapping[str, str]

    @property
    def scenarios(self) -> Mapping[str, Sequence[Entry]]:
        """The entries by heading, in the order of the runs."""
        found: dict[str, list[Entry]] = {}
        for entry in self.entries:
            found.setdefault(entry.heading, []).append(entry)
        return found

    @property
    def timed(self) -> Sequence[str]:
        """The targets that have a number anywhere, sorted; no A/A controls."""
        return sorted(
            {
                name
                for entry in self.entries
                for name in entry.comparison.instances
                if name != entry.comparison.control
            }
        )


def collect(runs: Sequence[Results]) -> Collection:
    """Put runs of one machine together.

    Raises:
        InvalidArgumentError: They are of different machines: their numbers must not
            stand in one table.
    """
    for run in runs[1:]:
        if run.machine.identity != runs[0].machine.identity:
            raise InvalidArgumentError(
                "the results are of different machines: make a report of each; "
                "'bench compare' puts two side by side"
            )
    cells: dict[tuple[str, str, str], tuple[int, int]] = {}
    for index, run in enumerate(runs):
        for number, comparison in enumerate(run.comparisons):
            cells[_identity(comparison)] = (index, number)
    measured = {f"{scenario} {label}" for scenario, label, _ in cells}
    # Scenarios keep together, in the order in which they came.
    order = list(dict.fromkeys(scenario for scenario, *_ in cells))
    ordered = sorted(cells, key=lambda cell: order.index(cell[0]))
    return Collection(
        runs=tuple(runs),
        entries=tuple(
            _entry(runs, f"cell-{number}", cells[cell])
            for number, cell in enumerate(ordered, 1)
        ),
        targets={name: each for run in runs for name, each in run.targets.items()},
        left_out={
            name: reason
            for run in runs
            for name, reason in run.left_out.items()
            if name not in order and name not in measured
        },
    )


def anchor_of(heading: str) -> str:
    """Return the name of a heading's place in the page."""
    return heading.replace(" ", "-")


def _identity(comparison: Comparison) -> tuple[str, str, str]:
    return comparison.scenario, comparison.label, comparison.filesystem


def _entry(runs: Sequence[Results], anchor: str, place: tuple[int, int]) -> Entry:
    run = runs[place[0]]
    comparison = run.comparisons[place[1]]
    heading = comparison.scenario
    if comparison.filesystem != runs[0].comparisons[0].filesystem:
        heading += f" on {comparison.filesystem}"
    return Entry(anchor, place, heading, run, comparison)


def reasons(entries: Sequence[Entry]) -> Iterator[tuple[str, str]]:
    """Yield every target without a number and why, each pair once."""
    seen = set()
    for entry in entries:
        comparison = entry.comparison
        for pair in {**comparison.rejected, **comparison.refused}.items():
            if pair not in seen:
                seen.add(pair)
                yield pair
