"""One instance of a target at one cell: started, run, counted, stopped."""

from __future__ import annotations

import contextlib
import gc
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator
from typing import Final

from snapfs.benchmarks import accounting, caches, syscall_counts
from snapfs.benchmarks.placement import Pinning
from snapfs.benchmarks.protocols import (
    CacheState,
    Cell,
    InvalidResultError,
    Outcome,
    Scenario,
    Target,
    Trial,
)
from snapfs.benchmarks.results import Counted, Sample
from snapfs.benchmarks.syscall_counts import SyscallCounter
from snapfs.benchmarks.workspaces import Workspaces
from snapfs.errors import UnavailableError

Clock = Callable[[], int]

# Counts vary with the first uses of things; the least of a few runs does not.
COUNTED_RUNS: Final = 3

# Whose counts are whose: the first word of a counter's name.
CLIENT: Final = "client"
TARGET: Final = "target"
ROLES: Final = (CLIENT, TARGET)

# Before a counted run the target gets so long to end what it does in the background;
# it has ended when the target used no CPU between two looks.
_REST_S: Final = 1.0
_LOOK_S: Final = 0.03

_NO_PROCESSES: Final = "the target has no processes of its own"


class Instance:
    """A started target with its trial. ``open`` first, ``close`` always.

    Args:
        name: Its name in results; the A/A control differs from its target's.
        clock: Nanoseconds; a fake one in tests.
    """

    def __init__(
        self,
        name: str,
        target: Target,
        scenario: Scenario,
        cell: Cell,
        pinning: Pinning,
        clock: Clock = time.perf_counter_ns,
    ) -> None:
        self.name = name
        self._target = target
        self._scenario = scenario
        self._cell = cell
        self._pinning = pinning
        self._clock = clock
        self._cleanup = contextlib.ExitStack()
        self._counted_operations = 0

    def open(self, workspaces: Workspaces, seed: int) -> None:
        """Start the target and prepare the trial."""
        self._cleanup.callback(self._target.stop)
        self._target.start(workspaces.take())
        self._pin()
        own = workspaces.take()
        self._directory = own.directory
        self._trial = self._scenario.open(self._target, self._cell, own, seed)
        self._cleanup.callback(self._trial.close)

    def close(self) -> None:
        """End the trial and stop the target; a second call does nothing."""
        self._cleanup.close()

    @property
    def trial(self) -> Trial:
        """The trial of an open instance: what another instrument needs to know of."""
        return self._trial

    def processes(self) -> set[int]:
        """Return the processes at work besides the calling one."""
        return {*self._target.processes(), *self._trial.processes()}

    def run_block(self, number: int) -> tuple[Sample, ...]:
        """Make the runs of one block: warm-ups first, then those that count."""
        self._trial.begin_block(number)
        self._pin()
        for _ in range(self._cell.warmups):
            self._run()
        return tuple(self._run() for _ in range(self._cell.runs))

    def count(
        self, counted_runs: int = COUNTED_RUNS, roles: Collection[str] = ROLES
    ) -> Counted:
        """Make a few runs that are counted exactly, and not timed.

        ``roles`` are those whose system calls are counted, in runs of their own.
        """
        self._trial.begin_block(0)
        self._pin()
        runs = [self._counted_run() for _ in range(counted_runs)]
        with_calls, uncounted = self._count_system_calls(counted_runs, roles)
        values: defaultdict[str, list[int]] = defaultdict(list)
        for run in (*runs, *with_calls):
            for counter, value in run.items():
                values[counter].append(value)
        return Counted(
            operations=self._cell.operations or self._counted_operations,
            counts={name: tuple(values[name]) for name in sorted(values)},
            uncounted=uncounted,
            memory=accounting.read_memory(self._target.processes()),
        )

    def _run(self) -> Sample:
        with self._prepared():
            gc.disable()  # a collection would be timed as the target's work
            try:
                begin = self._clock()
                outcome = self._trial.run_once()
                end = self._clock()
            finally:
                gc.enable()
            self._check(outcome, end - begin)
        return Sample(
            elapsed_ns=end - begin,
            operations=outcome.operations,
            bytes=outcome.bytes,
            durations_ns=tuple(outcome.durations_ns),
        )

    @contextlib.contextmanager
    def _prepared(self) -> Iterator[None]:
        """Surround a run with what belongs to it."""
        self._trial.set_up()
        try:
            caches.produce(self._cell.cache, self._target, self._directory)
            if self._cell.cache is CacheState.COLD:
                self._pin()  # the target may have new processes now
            yield
        finally:
            self._trial.tear_down()

    def _check(self, outcome: Outcome, elapsed_ns: int) -> None:
        """Refuse an outcome that contradicts itself, the clock or the tree."""
        if self._cell.operations == 0 and not outcome.durations_ns:
            raise InvalidResultError("as many operations as fit, and none is timed")
        if outcome.operations != (self._cell.operations or outcome.operations):
            raise InvalidResultError(
                f"did {outcome.operations} of {self._cell.operations} operations"
            )
        if elapsed_ns <= 0:
            raise InvalidResultError("a run took no time")
        if outcome.durations_ns:
            if len(outcome.durations_ns) != outcome.operations:
                raise InvalidResultError("not every operation was timed")
            if max(outcome.durations_ns) > elapsed_ns:
                raise InvalidResultError("an operation took longer than its run")
        self._trial.validate(outcome)

    def _counted_run(self) -> Counter[str]:
        """Return the counts of one run, taken right before and after it."""
        with self._prepared():
            self._let_target_rest()
            first = self._read_counts()
            before = self._read_counts()
            begin_ns = accounting.cpu_ns(self._clients())
            outcome = self._trial.run_once()
            self._counted_operations = outcome.operations
            end_ns = accounting.cpu_ns(self._clients())
            found = self._read_counts()
            self._trial.validate(outcome)
        found.subtract(before)
        # Reading the counts is the client's work and counted as well: what that
        # takes, from ``first`` to ``before``, goes off again. What a target did
        # meanwhile, in the background, does not. For CPU time it is too coarse.
        before.subtract(first)
        for name, count in before.items():
            if name.startswith(f"{CLIENT}."):
                found[name] -= count
        found["client.cpu_ns"] = end_ns - begin_ns
        found.update({f"run.{name}": count for name, count in outcome.counts.items()})
        return found

    def _read_counts(self) -> Counter[str]:
        roles = {CLIENT: self._clients(), TARGET: self._target.processes()}
        found = Counter(
            {
                f"{role}.{name}": count
                for role, processes in roles.items()
                for name, count in accounting.read_counts(processes).items()
            }
        )
        found.update(
            {f"target.{name}": count for name, count in self._target.counts().items()}
        )
        return found

    def _count_system_calls(
        self, counted_runs: int, wanted: Collection[str]
    ) -> tuple[list[Counter[str]], dict[str, str]]:
        """Count with perf, one role at a time; say what cannot be counted."""
        found: list[Counter[str]] = []
        uncounted: dict[str, str] = {}
        roles = {CLIENT: self._clients(), TARGET: self._target.processes()}
        for role, processes in roles.items():
            if role not in wanted:
                continue
            reason = syscall_counts.unavailable() if processes else _NO_PROCESSES
            if not reason:
                try:
                    found.extend(self._runs_with_calls(role, processes, counted_runs))
                except UnavailableError as error:
                    reason = str(error)
            if reason:
                uncounted[f"{role}.syscalls"] = reason
        return found, uncounted

    def _runs_with_calls(
        self, role: str, processes: Collection[int], counted_runs: int
    ) -> Iterator[Counter[str]]:
        # Switching the counter is the client's work; a target does nothing for it.
        empty = self._calls_of(processes, is_empty=True) if role == CLIENT else {}
        for _ in range(counted_runs):
            calls = self._calls_of(processes)
            calls.subtract(empty)
            yield Counter({f"{role}.{name}": n for name, n in calls.items()})

    def _calls_of(
        self, processes: Collection[int], *, is_empty: bool = False
    ) -> Counter[str]:
        """Return the calls of one run, or of switching the counter alone."""
        with self._prepared(), SyscallCounter(processes) as counter:
            self._let_target_rest()
            with counter.counting():
                outcome = None if is_empty else self._trial.run_once()
            if outcome is not None:
                self._trial.validate(outcome)
        return counter.counts

    def _let_target_rest(self) -> None:
        """Let what earlier runs left to do be done: it is not this run's."""
        if not self._target.processes():
            return
        deadline = time.monotonic() + _REST_S
        used_ns, before_ns = accounting.cpu_ns(self._target.processes()), -1
        while used_ns != before_ns and time.monotonic() < deadline:
            time.sleep(_LOOK_S)
            before_ns = used_ns
            used_ns = accounting.cpu_ns(self._target.processes())

    def _clients(self) -> list[int]:
        return [os.getpid(), *self._trial.processes()]

    def _pin(self) -> None:
        clients = self._trial.processes() if hasattr(self, "_trial") else ()
        self._pinning.pin_clients(clients)
        self._pinning.pin_targets(self._target.processes())
