"""One comparison: interleaved blocks of several instances on one filesystem."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Protocol

from snapfs.benchmarks import accounting, conditions
from snapfs.benchmarks.conditions import RedoRule
from snapfs.benchmarks.instance import COUNTED_RUNS, ROLES, Clock, Instance
from snapfs.benchmarks.placement import Pinning, Placement
from snapfs.benchmarks.protocols import Cell, Scenario, Target
from snapfs.benchmarks.results import Block, Comparison, Counted, Sample
from snapfs.benchmarks.semantics import describe
from snapfs.benchmarks.summary import estimate_all, pair_with_reference
from snapfs.benchmarks.verdicts import is_settled
from snapfs.benchmarks.workspaces import Workspaces
from snapfs.errors import FailedPreconditionError

_log = logging.getLogger(__name__)

# The second instance of the baseline is named so.
CONTROL_SUFFIX: Final = "#2"


@dataclasses.dataclass(frozen=True, slots=True)
class Schedule:
    """How many blocks, fixed beforehand.

    Attributes:
        looks: Numbers of blocks after which the intervals are looked at; measuring
            ends at the first look at which all are narrow, or at the last. Fixed
            looks bound what optional stopping can do.
        budget_s: Blocks for a further look are not begun if, at the pace so far,
            the comparison with all its preparations would take longer. The blocks
            of the first look are always made.
        whole_s: What a whole run should take. Its comparisons share what is left of
            it: where there is time, there are more blocks.
        counted_runs: Runs of each instance that are counted exactly, apart from the
            timed ones.
        counted_calls: Whose system calls are counted. Starting and ending perf for
            that takes longer than all else.
    """

    looks: tuple[int, ...]
    budget_s: float
    counted_runs: int = COUNTED_RUNS
    counted_calls: tuple[str, ...] = ROLES
    whole_s: float = math.inf


class Listener(Protocol):
    """Who is told how far a comparison is."""

    def block_done(self, number: int, *, is_discarded: bool) -> None:
        """A block was measured; a discarded one will be done again."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """All that determines a comparison.

    Attributes:
        targets: The targets to compare, by name, each a new instance; the order
            does not matter.
        reference: The name of the baseline, one of ``targets``.
        control: A second instance of the baseline.
        rejected, refused: Targets that are left out already, and why.
    """

    scenario: Scenario
    cell: Cell
    placement: Placement
    targets: Mapping[str, Target]
    reference: str
    control: Target
    schedule: Schedule
    redo: RedoRule
    seed: int
    rejected: Mapping[str, str]
    refused: Mapping[str, str]

    @property
    def key(self) -> str:
        """What distinguishes the random numbers of this comparison."""
        return (
            f"{self.seed}/{self.scenario.name}/{self.cell.label}/"
            f"{self.cell.cache}/{self.placement}"
        )


class ComparisonRun:
    """Carries out a plan once."""

    def __init__(
        self,
        plan: Plan,
        workspaces: Workspaces,
        listener: Listener,
        clock: Clock = time.perf_counter_ns,
    ) -> None:
        self._plan = plan
        self._workspaces = workspaces
        self._listener = listener
        self._control = plan.reference + CONTROL_SUFFIX
        self._pinning = Pinning(plan.placement)
        targets = {**plan.targets, self._control: plan.control}
        self._instances = {
            name: Instance(
                name, targets[name], plan.scenario, plan.cell, self._pinning, clock
            )
            for name in sorted(targets)
        }
        self._rejected = dict(plan.rejected)
        self._blocks: list[Block] = []
        self._redos = plan.redo.redos

    def run(self) -> Comparison:
        """Measure, count and estimate.

        Raises:
            FailedPreconditionError: The baseline failed: nothing can be compared.
        """
        begin = time.monotonic()
        with self._pinning.restored(), contextlib.ExitStack() as cleanup:
            for name, instance in list(self._instances.items()):
                cleanup.callback(self._close, instance)
                with self._rejecting(name):
                    instance.open(self._workspaces, self._plan.seed)
            self._measure(begin)
            counted = self._count()
        return self._result(counted)

    def _measure(self, begin: float) -> None:
        """Make blocks; ``begin`` is when the comparison began."""
        schedule = self._plan.schedule
        first_block = time.monotonic()
        done = 0
        for look in schedule.looks:
            now = time.monotonic()
            pace = (now - first_block) / done if done else 0.0
            is_late = now - begin + pace * (look - done) > schedule.budget_s
            if done and (is_late or self._is_settled()):
                return
            while done < look:
                done += self._block(done)

    def _block(self, number: int) -> int:
        """Measure one block; return how many blocks that makes: 0 if it was bad."""
        order = sorted(self._instances)
        attempt = sum(block.number == number for block in self._blocks)
        # S311: an order for an experiment, no secret.
        random.Random(f"{self._plan.key}/{number}/{attempt}").shuffle(order)  # noqa: S311
        samples: dict[str, tuple[Sample, ...]] = {}
        before = conditions.read_now(self._own_cpu_ns())
        for name in order:
            with self._rejecting(name):
                samples[name] = self._instances[name].run_block(number)
        weather = conditions.between(before, conditions.read_now(self._own_cpu_ns()))
        disturbance = self._plan.redo.objection(weather)
        is_discarded = bool(disturbance) and self._redos > 0
        self._redos -= is_discarded
        self._blocks.append(
            Block(number, tuple(order), weather, disturbance, is_discarded, samples)
        )
        self._listener.block_done(number, is_discarded=is_discarded)
        return 0 if is_discarded else 1

    def _count(self) -> dict[str, Counted]:
        counted = {}
        runs = self._plan.schedule.counted_runs
        roles = self._plan.schedule.counted_calls
        for name in sorted(self._instances):
            if name != self._control:
                with self._rejecting(name):
                    counted[name] = self._instances[name].count(runs, roles)
        return counted

    def _own_cpu_ns(self) -> int:
        instances = self._instances.values()
        return accounting.own_cpu_ns(*(each.processes() for each in instances))

    def _is_settled(self) -> bool:
        ratios = pair_with_reference(
            self._blocks, sorted(self._instances), self._plan.reference
        )
        return all(is_settled(each) for each in ratios.values())

    @contextlib.contextmanager
    def _rejecting(self, name: str) -> Iterator[None]:
        """Turn any error of an instance into its rejection."""
        try:
            yield
        except Exception as error:
            if (end := _end_behind(error)) is not None:
                raise end from None  # what failed to undo a run hid why it ended
            reason = describe(error)
            _log.info("%s is rejected: %s", name, reason, exc_info=error)
            if name in (self._plan.reference, self._control):
                raise FailedPreconditionError(
                    f"the baseline {name} failed: {reason}"
                ) from error
            self._rejected[name] = reason
            self._instances.pop(name)

    def _close(self, instance: Instance) -> None:
        """Close an instance; a failure must not hide what came before it."""
        try:
            instance.close()
        except Exception as error:  # noqa: BLE001  # a target's code: anything
            _log.warning("%s did not stop: %s", instance.name, error, exc_info=error)

    def _result(self, counted: Mapping[str, Counted]) -> Comparison:
        plan, cell = self._plan, self._plan.cell
        names = sorted(self._instances)
        names.sort(key=(plan.reference, self._control).__contains__, reverse=True)
        return Comparison(
            scenario=plan.scenario.name,
            question=plan.scenario.question,
            operation=plan.scenario.operation,
            parameters=dict(cell.parameters),
            cache=cell.cache,
            operations=cell.operations,
            runs=cell.runs,
            warmups=cell.warmups,
            placement=str(plan.placement),
            backing=self._workspaces.backing,
            reference=plan.reference,
            control=self._control,
            instances=tuple(names),
            rejected=dict(sorted(self._rejected.items())),
            refused=dict(sorted(plan.refused.items())),
            blocks=tuple(self._blocks),
            counted=dict(counted),
            estimates=estimate_all(
                self._blocks, names, plan.reference, self._control, plan.key
            ),
        )


def _end_behind(error: BaseException) -> BaseException | None:
    """Return the SIGINT or SIGTERM during whose handling ``error`` came, if any."""
    behind: BaseException | None = error
    while isinstance(behind, Exception):
        behind = behind.__context__
    return behind


def choose_reference(baselines: Sequence[str], names: Sequence[str]) -> str:
    """Return the first of ``baselines`` among ``names``.

    Raises:
        FailedPreconditionError: None of them can be used.
    """
    for baseline in baselines:
        if baseline in names:
            return baseline
    wanted = ", ".join(baselines)
    raise FailedPreconditionError(f"none of the baselines can be used: {wanted}")
