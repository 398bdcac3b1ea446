"""The gate for continuous integration: exact counts against a committed baseline.

Times on a shared machine prove nothing in a pull request; counts do. The baseline
names what is gated: a counter of one target at one cell of the quick profile.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from snapfs.benchmarks.backing import Backing
from snapfs.benchmarks.instance import Instance
from snapfs.benchmarks.placement import Pinning, Placement
from snapfs.benchmarks.protocols import Cell, Profile, Scenario
from snapfs.benchmarks.results import Counted
from snapfs.benchmarks.selection import Factories
from snapfs.benchmarks.targets.go_programs import LOAD, BuildError
from snapfs.benchmarks.workspaces import open_workspaces
from snapfs.errors import DataLossError, NotFoundError

BASELINE: Final = Path(__file__).with_name("baseline.json")

# How often a cell is counted that seems to exceed a limit.
ATTEMPTS: Final = 5

_SEED: Final = 1

# The parameter of cells whose calls are not made by containerd's own client.
_CLIENT: Final = "client"


@dataclasses.dataclass(frozen=True, slots=True)
class Limit:
    """One counter that is gated.

    Attributes:
        per_operation: What one operation costs.
        tolerance: The share by which it may be exceeded (0.02: 2 %), for what is
            not quite exact, such as a reallocation now and then.
    """

    scenario: str
    parameters: Mapping[str, int | str]
    target: str
    counter: str
    per_operation: float
    tolerance: float

    @property
    def name(self) -> str:
        """Return the limit in words."""
        words = [f"{name}={value}" for name, value in self.parameters.items()]
        return " ".join([self.scenario, *words, self.target, self.counter])


class Standing(enum.StrEnum):
    """How a count stands to its limit."""

    HOLDS = "holds"
    EXCEEDED = "exceeded"
    IMPROVED = "improved"  # by more than the tolerance: time to lower the limit
    UNTRIED = "not tried"


@dataclasses.dataclass(frozen=True, slots=True)
class GateResult:
    """One limit, tried.

    Attributes:
        found: What one operation costs now; None if it could not be counted.
        reason: Why it could not.
    """

    limit: Limit
    found: float | None
    reason: str = ""

    @property
    def standing(self) -> Standing:
        """How the count stands to the limit."""
        limit = self.limit
        if self.found is None:
            return Standing.UNTRIED
        if self.found > limit.per_operation * (1 + limit.tolerance):
            return Standing.EXCEEDED
        if self.found < limit.per_operation * (1 - limit.tolerance):
            return Standing.IMPROVED
        return Standing.HOLDS


def load_limits(path: Path = BASELINE) -> list[Limit]:
    """Read a baseline.

    Raises:
        DataLossError: It is damaged.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Limit])
    except msgspec.MsgspecError as error:
        raise DataLossError(f"{path} is no baseline of counters: {error}") from error


def save_limits(results: Sequence[GateResult], path: Path = BASELINE) -> None:
    """Write the counts found as the new limits; keep those that were not tried."""
    limits = [
        dataclasses.replace(
            result.limit,
            per_operation=round(
                result.limit.per_operation if result.found is None else result.found, 4
            ),
        )
        for result in results
    ]
    data = msgspec.json.format(msgspec.json.encode(limits), indent=2)
    path.write_bytes(data + b"\n")


def try_limits(
    limits: Sequence[Limit],
    targets: Factories,
    scenarios: Mapping[str, Scenario],
    directory: Path,
) -> list[GateResult]:
    """Count what each limit needs, every target at every cell once.

    What exceeds a limit is counted again, :data:`ATTEMPTS` times in all: whatever
    disturbs a run adds calls, and nothing takes any away, so the least counts.

    Raises:
        NotFoundError: A limit names a scenario, cell or target that is no more.
    """

    def place(limit: Limit) -> tuple[str, str, str]:
        return (limit.scenario, limit.target, repr(dict(limit.parameters)))

    results: list[GateResult] = []
    for _, group in itertools.groupby(limits, key=place):
        together = list(group)
        found: list[GateResult] = []
        for _ in range(ATTEMPTS):
            counted, reason = _count(together, targets, scenarios, directory)
            again = [_judge(limit, counted, reason) for limit in together]
            found = list(map(_least, found, again)) if found else again
            if all(each.standing is not Standing.EXCEEDED for each in found):
                break
        results.extend(found)
    return results


def _least(first: GateResult, second: GateResult) -> GateResult:
    if first.found is None or second.found is None:
        return second
    return min(first, second, key=lambda each: each.found or 0)


def _judge(limit: Limit, counted: Counted | None, reason: str) -> GateResult:
    if counted is None:
        return GateResult(limit, None, reason)
    values = counted.counts.get(limit.counter)
    if not values:
        role = limit.counter.partition(".")[0]
        missing = counted.uncounted.get(f"{role}.syscalls", "no such counter")
        return GateResult(limit, None, missing)
    # The least: what disturbs a run adds calls, and nothing takes any away.
    return GateResult(limit, min(values) / counted.operations)


def _count(
    limits: Sequence[Limit],
    targets: Factories,
    scenarios: Mapping[str, Scenario],
    directory: Path,
) -> tuple[Counted | None, str]:
    limit = limits[0]
    scenario, cell = _find_cell(limit, scenarios)
    if _CLIENT in cell.parameters:
        return None, f"the limit is for containerd's client: {LOAD.unavailable()}"
    if limit.target not in targets:
        raise NotFoundError(f"{limit.name}: there is no such target")
    target = targets[limit.target]()
    if reason := target.unavailable():
        return None, reason
    pinning = Pinning(Placement.FREE)
    instance = Instance(limit.target, target, scenario, cell, pinning)
    with (
        open_workspaces(Backing.DIRECTORY, directory) as workspaces,
        contextlib.closing(instance),
    ):
        try:
            instance.open(workspaces, _SEED)
        except BuildError as error:
            return None, str(error)
        roles = {each.counter.partition(".")[0] for each in limits}
        return instance.count(roles=roles), ""


def _find_cell(
    limit: Limit, scenarios: Mapping[str, Scenario]
) -> tuple[Scenario, Cell]:
    scenario = scenarios.get(limit.scenario)
    if scenario is not None:
        for cell in scenario.cells(Profile.QUICK):
            found = {k: v for k, v in cell.parameters.items() if k != _CLIENT}
            if found == dict(limit.parameters):
                return scenario, cell
    raise NotFoundError(f"{limit.name}: the quick profile has no such cell")
