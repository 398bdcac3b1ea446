"""A whole run: which comparisons, one after the other, into one result."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import logging
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import snapfs
from snapfs.benchmarks.backing import DEFAULT_SIZE_BYTES, Backing, filesystem
from snapfs.benchmarks.comparison import ComparisonRun, Plan, choose_reference
from snapfs.benchmarks.conditions import REDO_RULE, RedoRule
from snapfs.benchmarks.estimates import CONFIDENCE
from snapfs.benchmarks.exclusive import only_one
from snapfs.benchmarks.instance import Clock
from snapfs.benchmarks.leftovers import sweep
from snapfs.benchmarks.machine import describe_machine, revision
from snapfs.benchmarks.placement import Placement
from snapfs.benchmarks.profiles import SCHEDULES, asks
from snapfs.benchmarks.progress import Progress, SilentProgress
from snapfs.benchmarks.protocols import Profile, Scenario
from snapfs.benchmarks.results import (
    SCHEMA,
    SCHEMA_VERSION,
    ClaimResult,
    Comparison,
    Results,
    Rules,
    TargetRecord,
)
from snapfs.benchmarks.resuming import beside, measured, require_same
from snapfs.benchmarks.selection import (
    Factories,
    Unit,
    breadth_first,
    plan_units,
    select,
    select_cells,
    with_baselines,
)
from snapfs.benchmarks.semantics import check_semantics, first_problem
from snapfs.benchmarks.time_shares import TimeShares
from snapfs.benchmarks.verdicts import MINIMUM_EFFECT
from snapfs.benchmarks.workspaces import Workspaces, open_workspaces
from snapfs.errors import FailedPreconditionError

_log = logging.getLogger(__name__)

_ENDED: Final = "the run ended before it"

TEMPORARY: Final = Path(tempfile.gettempdir())


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """What a run is asked for.

    Attributes:
        only, targets: Names or patterns; empty for all. A baseline is added where
            a scenario would have none.
        baseline: The target to compare with; "" for those that scenarios name.
        cells: Only cells that have all words of one of these: ``depth=32 warm``.
        placements: Empty for those of the profile.
        directory: Where images and files go; removed at the end.
        lock: An existing directory; runs with the same one never overlap.
        command: The command line, for the record.
    """

    profile: Profile = Profile.QUICK
    only: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    baseline: str = ""
    cells: tuple[str, ...] = ()
    seed: int = 1
    placements: tuple[Placement, ...] = ()
    backing: Backing = Backing.DIRECTORY
    directory: Path = TEMPORARY
    image_bytes: int = DEFAULT_SIZE_BYTES
    redo: RedoRule = REDO_RULE
    lock: Path = TEMPORARY
    command: tuple[str, ...] = ()


class Suite:
    """Runs a request against lists of targets and scenarios.

    Args:
        earlier: What a run that ended too soon has measured: that is not done again.
        keep: Is given all results so far, after each comparison.
    """

    def __init__(
        self,
        request: Request,
        targets: Factories,
        scenarios: Mapping[str, Scenario],
        progress: Progress | None = None,
        clock: Clock = time.perf_counter_ns,
        earlier: Results | None = None,
        keep: Callable[[Results], None] = lambda _: None,
    ) -> None:
        self._request = request
        self._earlier = earlier
        self._keep = keep
        self._progress = progress or SilentProgress()
        self._clock = clock
        self._schedule = SCHEDULES[request.profile]
        chosen = select(scenarios, request.only, "scenario")
        self._scenarios = [scenarios[name] for name in chosen]
        names = select(targets, request.targets, "target")
        if not request.targets:
            names = [name for name in names if asks(request.profile, name)]
        names = with_baselines(names, self._scenarios, targets.keys(), request.baseline)
        self._factories = {name: targets[name] for name in names}
        self._questioned = {name: make() for name, make in self._factories.items()}
        self._unavailable = {
            name: target.unavailable() for name, target in self._questioned.items()
        }
        self._semantics: dict[str, tuple[ClaimResult, ...]] = {}
        reason = f"the {request.profile} profile asks it only by its name"
        unasked = () if request.targets else targets.keys() - names
        self._left_out = dict.fromkeys(sorted(unasked), reason)
        self._waiting: dict[str, str] = {}
        self._beside: Sequence[Comparison] = ()

    def run(self) -> Results:
        """Make every comparison; return all results.

        A comparison that cannot be made is logged, and named in the results.

        Raises:
            FailedPreconditionError: Nothing could be compared, or what was measured
                earlier cannot be gone on with.
            UnavailableError: The backing filesystem cannot be made here.
            ResourceExhaustedError: It does not fit.
        """
        begun = self._results(_utc_now())
        if self._earlier is not None:
            where = filesystem(self._request.backing, self._request.directory)
            require_same(self._earlier, begun, self._questioned, where)
            begun = dataclasses.replace(
                begun,
                started=self._earlier.started,
                resumed=(*self._earlier.resumed, begun.started),
            )
        with only_one(self._request.lock):
            for directory in {self._request.directory, TEMPORARY}:
                sweep(directory)
            made: dict[int, Comparison] = {}
            for place, comparison in self._comparisons():
                made[place] = comparison
                self._keep(self._so_far(begun, made))
        if not made:
            raise FailedPreconditionError(
                "nothing was compared: no scenario has two targets that work here"
            )
        return self._so_far(begun, made)

    def _results(self, started: str) -> Results:
        """Return results without any comparison."""
        return Results(
            schema=SCHEMA,
            schema_version=SCHEMA_VERSION,
            suite_version=snapfs.__version__,
            revision=revision(),
            command=self._request.command,
            profile=self._request.profile,
            seed=self._request.seed,
            started=started,
            finished=started,
            machine=describe_machine(),
            rules=Rules(
                self._request.redo, MINIMUM_EFFECT, CONFIDENCE, self._schedule.looks
            ),
            targets={},
            comparisons=(),
        )

    def _so_far(self, begun: Results, made: Mapping[int, Comparison]) -> Results:
        """Return what there is, in the order of the plan.

        What an earlier run measured beside it comes first: it stays in its file.
        """
        planned = (made[place] for place in sorted(made))
        comparisons = (*self._beside, *planned)
        return dataclasses.replace(
            begun,
            finished=_utc_now(),
            targets={name: self._record(name) for name in self._asked(comparisons)},
            comparisons=comparisons,
            left_out={**self._left_out, **self._waiting},
        )

    def units(self) -> list[Unit]:
        """Return the comparisons that can be made here; log why others cannot.

        Raises:
            InvalidArgumentError: No cell has the words that were asked for.
        """
        request = self._request
        planned = plan_units(
            self._scenarios,
            self._questioned,
            request.profile,
            request.placements,
            is_whole=bool(request.cells),
        )
        asked = {unit.scenario.name for unit in planned}
        for scenario in self._scenarios:
            if scenario.name not in asked:
                reason = f"the {request.profile} profile does not ask it"
                self._left_out[scenario.name] = reason
        possible = []
        for unit in select_cells(planned, request.cells):
            if unit.obstacle:
                self._leave_out(unit, unit.obstacle)
            else:
                possible.append(unit)
        return possible

    def _leave_out(self, unit: Unit, reason: str) -> None:
        _log.warning("%s is left out: %s", unit.name, reason)
        self._left_out[unit.name] = reason

    def compare(self, unit: Unit, budget_s: float = math.inf) -> Comparison:
        """Make one comparison; it has ``budget_s``, or less if its schedule says so.

        Raises:
            FailedPreconditionError: No baseline works, or it failed underway.
            UnavailableError: The backing filesystem cannot be made here.
            ResourceExhaustedError: It does not fit.
        """
        with self._open_workspaces() as workspaces:
            plan = self._plan(unit, workspaces, budget_s)
            return ComparisonRun(plan, workspaces, self._progress, self._clock).run()

    def _comparisons(self) -> Iterator[tuple[int, Comparison]]:
        """Yield comparisons with their places in the plan; what is known comes first.

        The others are made breadth first, and share what is left of the run's time.
        """
        units = self.units()
        self._beside = beside(self._earlier, units)
        known = {
            place: measured(self._earlier, each, self._baselines(each.scenario))
            for place, each in enumerate(units)
        }
        waiting = [place for place in breadth_first(units) if known[place] is None]
        yield from ((place, each) for place, each in known.items() if each)
        self._waiting = {units[place].name: _ENDED for place in waiting}
        shares = TimeShares(
            [units[place].weight_s(self._schedule) for place in waiting],
            self._schedule.whole_s,
        )
        self._progress.begin(shares.expected_s())
        try:
            for index, place in enumerate(waiting):
                unit = units[place]
                self._progress.comparison(index, unit.name, self._schedule.looks[-1])
                del self._waiting[unit.name]
                try:
                    yield place, self.compare(unit, shares.budget_s(index))
                except FailedPreconditionError as error:
                    self._leave_out(unit, str(error))
        finally:
            self._progress.end()

    def _open_workspaces(self) -> contextlib.AbstractContextManager[Workspaces]:
        request = self._request
        return open_workspaces(request.backing, request.directory, request.image_bytes)

    def _plan(self, unit: Unit, workspaces: Workspaces, budget_s: float) -> Plan:
        rejected = {}
        for name in unit.targets:
            if reason := self._problem(name, workspaces):
                rejected[name] = reason
        fit = [name for name in unit.targets if name not in rejected]
        reference = choose_reference(self._baselines(unit.scenario), fit)
        return Plan(
            scenario=unit.scenario,
            cell=unit.cell,
            placement=unit.placement,
            targets={name: self._factories[name]() for name in fit},
            reference=reference,
            control=self._factories[reference](),
            schedule=dataclasses.replace(
                self._schedule, budget_s=min(budget_s, self._schedule.budget_s)
            ),
            redo=self._request.redo,
            seed=self._request.seed,
            rejected=rejected,
            refused=unit.refused,
        )

    def _baselines(self, scenario: Scenario) -> Sequence[str]:
        asked = self._request.baseline
        return (asked,) if asked else scenario.baselines

    def _problem(self, name: str, workspaces: Workspaces) -> str:
        """Say why a target cannot take part; the first call tries its semantics."""
        if self._unavailable[name]:
            return f"unavailable: {self._unavailable[name]}"
        if name not in self._semantics:
            target = self._factories[name]()
            self._semantics[name] = check_semantics(target, workspaces)
        return first_problem(self._semantics[name])

    def _record(self, name: str) -> TargetRecord:
        target = self._questioned.get(name)
        if target is None:
            assert self._earlier is not None
            return self._earlier.targets[name]
        return TargetRecord(
            summary=target.summary,
            fairness=target.fairness(),
            unavailable=self._unavailable[name],
            semantics=self._semantics.get(name) or self._earlier_semantics(name),
        )

    def _earlier_semantics(self, name: str) -> tuple[ClaimResult, ...]:
        record = self._earlier.targets.get(name) if self._earlier else None
        return record.semantics if record else ()

    def _asked(self, comparisons: Sequence[Comparison]) -> list[str]:
        """Return the targets that any comparison knows."""
        known = {
            name
            for each in comparisons
            for name in (*each.instances, *each.rejected, *each.refused)
        }
        earlier = self._earlier.targets.keys() if self._earlier else set()
        return sorted(known & (self._factories.keys() | earlier))


def _utc_now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
