"""A whole run: which comparisons, one after the other, into one result."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import fcntl
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import snapfs
from snapfs.benchmarks import programs
from snapfs.benchmarks.backing import (
    DEFAULT_SIZE_BYTES,
    Backing,
)
from snapfs.benchmarks.comparison import (
    ComparisonRun,
    Plan,
    Schedule,
    choose_reference,
)
from snapfs.benchmarks.conditions import REDO_RULE, RedoRule
from snapfs.benchmarks.estimates import CONFIDENCE
from snapfs.benchmarks.instance import Clock
from snapfs.benchmarks.machine import describe_machine
from snapfs.benchmarks.placement import Placement
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
from snapfs.benchmarks.selection import (
    Factories,
    Unit,
    plan_units,
    select,
    with_baselines,
)
from snapfs.benchmarks.semantics import check_semantics, first_problem
from snapfs.benchmarks.verdicts import MINIMUM_EFFECT
from snapfs.benchmarks.workspaces import Workspaces, open_workspaces
from snapfs.errors import FailedPreconditionError

_log = logging.getLogger(__name__)

SCHEDULES: Final[Mapping[Profile, Schedule]] = {
    Profile.QUICK: Schedule(looks=(6,), budget_s=0, counted_runs=1),
    Profile.STANDARD: Schedule(looks=(9, 12, 15), budget_s=60),
    Profile.FULL: Schedule(looks=(12, 15, 20), budget_s=300),
}


TEMPORARY: Final = Path(tempfile.gettempdir())


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """What a run is asked for.

    Attributes:
        only, targets: Names or patterns; empty for all. A baseline is added where
            a scenario would have none.
        placements: Empty for those of the profile.
        directory: Where images and files go; removed at the end.
        lock: An existing directory; runs with the same one never overlap.
        command: The command line, for the record.
    """

    profile: Profile = Profile.QUICK
    only: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    seed: int = 1
    placements: tuple[Placement, ...] = ()
    backing: Backing = Backing.DIRECTORY
    directory: Path = TEMPORARY
    image_bytes: int = DEFAULT_SIZE_BYTES
    redo: RedoRule = REDO_RULE
    lock: Path = TEMPORARY
    command: tuple[str, ...] = ()


class Suite:
    """Runs a request against lists of targets and scenarios."""

    def __init__(
        self,
        request: Request,
        targets: Factories,
        scenarios: Mapping[str, Scenario],
        progress: Progress | None = None,
        clock: Clock = time.perf_counter_ns,
    ) -> None:
        self._request = request
        self._progress = progress or SilentProgress()
        self._clock = clock
        self._schedule = SCHEDULES[request.profile]
        chosen = select(scenarios, request.only, "scenario")
        self._scenarios = [scenarios[name] for name in chosen]
        names = select(targets, request.targets, "target")
        names = with_baselines(names, self._scenarios, targets.keys())
        self._factories = {name: targets[name] for name in names}
        self._questioned = {name: make() for name, make in self._factories.items()}
        self._unavailable = {
            name: target.unavailable() for name, target in self._questioned.items()
        }
        self._semantics: dict[str, tuple[ClaimResult, ...]] = {}

    def run(self) -> Results:
        """Make every comparison; return all results.

        A comparison that cannot be made is logged and left out.

        Raises:
            FailedPreconditionError: Nothing could be compared.
            UnavailableError: The backing filesystem cannot be made here.
            ResourceExhaustedError: It does not fit.
        """
        started = _utc_now()
        with only_one(self._request.lock):
            comparisons = list(self._comparisons())
        if not comparisons:
            raise FailedPreconditionError(
                "nothing was compared: no scenario has two targets that work here"
            )
        return Results(
            schema=SCHEMA,
            schema_version=SCHEMA_VERSION,
            suite_version=snapfs.__version__,
            revision=_revision(),
            command=self._request.command,
            profile=self._request.profile,
            seed=self._request.seed,
            started=started,
            finished=_utc_now(),
            machine=describe_machine(),
            rules=Rules(
                self._request.redo, MINIMUM_EFFECT, CONFIDENCE, self._schedule.looks
            ),
            targets={name: self._record(name) for name in self._asked(comparisons)},
            comparisons=tuple(comparisons),
        )

    def units(self) -> list[Unit]:
        """Return the comparisons that can be made here; log why others cannot."""
        possible = []
        for unit in plan_units(
            self._scenarios,
            self._questioned,
            self._request.profile,
            self._request.placements,
        ):
            if unit.obstacle:
                _log.warning("%s is left out: %s", unit.name, unit.obstacle)
            else:
                possible.append(unit)
        return possible

    def compare(self, unit: Unit) -> Comparison:
        """Make one comparison.

        Raises:
            FailedPreconditionError: No baseline works, or it failed underway.
            UnavailableError: The backing filesystem cannot be made here.
            ResourceExhaustedError: It does not fit.
        """
        with self._open_workspaces() as workspaces:
            plan = self._plan(unit, workspaces)
            return ComparisonRun(plan, workspaces, self._progress, self._clock).run()

    def _comparisons(self) -> Iterator[Comparison]:
        units = self.units()
        self._progress.begin([unit.weight_s(self._schedule) for unit in units])
        try:
            for index, unit in enumerate(units):
                self._progress.comparison(index, unit.name, self._schedule.looks[-1])
                try:
                    yield self.compare(unit)
                except FailedPreconditionError as error:
                    _log.warning("%s is left out: %s", unit.name, error)
        finally:
            self._progress.end()

    def _open_workspaces(self) -> contextlib.AbstractContextManager[Workspaces]:
        request = self._request
        return open_workspaces(request.backing, request.directory, request.image_bytes)

    def _plan(self, unit: Unit, workspaces: Workspaces) -> Plan:
        rejected = {}
        for name in unit.targets:
            if reason := self._problem(name, workspaces):
                rejected[name] = reason
        fit = [name for name in unit.targets if name not in rejected]
        reference = choose_reference(unit.scenario.baselines, fit)
        return Plan(
            scenario=unit.scenario,
            cell=unit.cell,
            placement=unit.placement,
            targets={name: self._factories[name]() for name in fit},
            reference=reference,
            control=self._factories[reference](),
            schedule=self._schedule,
            redo=self._request.redo,
            seed=self._request.seed,
            rejected=rejected,
            refused=unit.refused,
        )

    def _problem(self, name: str, workspaces: Workspaces) -> str:
        """Say why a target cannot take part; the first call tries its semantics."""
        if self._unavailable[name]:
            return f"unavailable: {self._unavailable[name]}"
        if name not in self._semantics:
            target = self._factories[name]()
            self._semantics[name] = check_semantics(target, workspaces)
        return first_problem(self._semantics[name])

    def _record(self, name: str) -> TargetRecord:
        target = self._questioned[name]
        return TargetRecord(
            summary=target.summary,
            fairness=target.fairness(),
            unavailable=self._unavailable[name],
            semantics=self._semantics.get(name, ()),
        )

    def _asked(self, comparisons: Sequence[Comparison]) -> list[str]:
        """Return the targets that any comparison knows."""
        known = {
            name
            for each in comparisons
            for name in (*each.instances, *each.rejected, *each.refused)
        }
        return sorted(known & self._factories.keys())


@contextlib.contextmanager
def only_one(directory: Path) -> Iterator[None]:
    """Wait until no other run that knows ``directory`` is measuring.

    The directory itself is locked (flock(2)): nothing is left behind, and it works
    between users.
    """
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _log.warning("another run is measuring; waiting for its end")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def _utc_now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _revision() -> str:
    """Return the commit of the checkout this runs from; "" in an installed package."""
    repository = Path(__file__).resolve().parent.parent
    if not (repository / ".git").exists() or shutil.which("git") is None:
        return ""
    words = ("describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
    found = programs.try_to_run("git", "-C", str(repository), *words)
    return found.stdout.strip()
