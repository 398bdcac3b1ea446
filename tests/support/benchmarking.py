"""Fakes for the measuring instrument: simulated noise, honest and other targets."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest

from snapfs.benchmarks import suite as suite_module
from snapfs.benchmarks import syscall_counts
from snapfs.benchmarks.conditions import REDO_RULE, Conditions, RedoRule
from snapfs.benchmarks.machine import describe_machine
from snapfs.benchmarks.placement import Placement
from snapfs.benchmarks.protocols import (
    CacheState,
    Cell,
    Fairness,
    Family,
    InvalidResultError,
    Outcome,
    Profile,
    Target,
    Trial,
    Workspace,
)
from snapfs.benchmarks.results import (
    SCHEMA,
    SCHEMA_VERSION,
    Block,
    Comparison,
    Results,
    Rules,
    Sample,
    TargetRecord,
)
from snapfs.benchmarks.semantics import check_semantics
from snapfs.benchmarks.suite import Request, Suite
from snapfs.benchmarks.targets.plain_directory import PlainDirectory

CALM: Final = Conditions(
    seconds=1.0,
    steal=0.0,
    foreign_cpu=0.0,
    cpu_pressure=0.0,
    io_pressure=0.0,
    memory_pressure=0.0,
    load=0.5,
)


class Noise:
    """Times as on a shared machine: slow drift, spread, and now and then a stall.

    The drift is a random walk in time, so that neighbours in time share it; the
    spread is lognormal; one sample in 25 is up to several times as long (Pareto).
    """

    def __init__(self, seed: int, spread: float = 0.03) -> None:
        self._random = random.Random(seed)
        self._spread = spread
        self._drift = 0.0

    def seconds(self, true_seconds: float) -> float:
        self._drift += self._random.gauss(0, self._spread / 3)
        logarithm = self._drift + self._random.gauss(0, self._spread)
        stall = self._random.paretovariate(2) if self._random.random() < 0.04 else 1.0
        return true_seconds * math.exp(logarithm) * stall


def simulated_blocks(
    true_seconds: Mapping[str, float],
    seed: int,
    blocks: int = 9,
    runs: int = 5,
    spread: float = 0.03,
) -> list[Block]:
    """Return blocks as the runner would make them of targets that take so long."""
    noise = Noise(seed, spread)
    order = random.Random(f"order {seed}")
    made = []
    for number in range(blocks):
        names = sorted(true_seconds)
        order.shuffle(names)
        samples = {
            name: tuple(
                Sample(round(noise.seconds(true_seconds[name]) * 1e9), operations=1)
                for _ in range(runs)
            )
            for name in names
        }
        made.append(Block(number, tuple(names), CALM, "", False, samples))
    return made


class SimulatedClock:
    """A clock that only moves when somebody says so."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns

    def advance(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)


class Copy(PlainDirectory):
    """An honest target of any name; ``seconds`` is what :class:`Question` lets pass.

    It counts what the runner asks of it.
    """

    summary = "an honest fake"

    def __init__(self, name: str = "copy", seconds: float = 1e-3) -> None:
        super().__init__()
        self.name = name
        self.seconds = seconds
        self.forgotten = 0
        self.is_running = False

    def start(self, workspace: Workspace) -> None:
        super().start(workspace)
        self.is_running = True

    def stop(self) -> None:
        super().stop()
        self.is_running = False

    def forget_caches(self) -> None:
        self.forgotten += 1


class SharesData(Copy):
    """Shows the lower files themselves: no copy on write."""

    def present(self, lowerdirs: Sequence[Path], name: str) -> Path:
        merged = super().present(lowerdirs, name)
        for lowerdir in reversed(lowerdirs):
            for folder, _, files in os.walk(lowerdir):
                for file in files:
                    shown = merged / os.path.relpath(
                        os.path.join(folder, file), lowerdir
                    )
                    shown.unlink()
                    os.link(os.path.join(folder, file), shown, follow_symlinks=False)
        return merged


class LosesData(Copy):
    """Keeps what was written only until its caches are dropped."""

    def forget_caches(self) -> None:
        assert self._trees is not None
        for folder, _, files in os.walk(self._trees):
            for name in files:
                if name == "new":
                    os.truncate(os.path.join(folder, name), 100)


class ReturnsEarly(Copy):
    """Says that a tree is there before it is filled; fills it later."""

    def __init__(self, name: str = "returns-early") -> None:
        super().__init__(name)
        self._unfinished: dict[str, Sequence[Path]] = {}

    def present(self, lowerdirs: Sequence[Path], name: str) -> Path:
        self._unfinished[name] = lowerdirs
        merged = self._tree(name)
        merged.mkdir()
        return merged

    def dismiss(self, name: str) -> None:
        super().dismiss(name)
        super().present(self._unfinished.pop(name), name)
        super().dismiss(name)


class FailsToStart(Copy):
    def start(self, workspace: Workspace) -> None:
        raise OSError("no such device")


class Question:
    """A scenario in which a simulated clock passes, or real work is done.

    Args:
        work: What a run does to the target; by default lets ``target.seconds`` pass
            on ``clock``, with noise.
        broken: The name of a target whose runs leave out what they claim.
    """

    name = "a_question"
    question = "How long does nothing take?"
    family = Family.TREE
    operation = "nothing"
    baselines: Sequence[str] = ("base", "other-base")

    def __init__(
        self,
        clock: SimulatedClock | None = None,
        *,
        work: Callable[[Target], None] | None = None,
        broken: str = "",
        cell: Cell | None = None,
        seed: int = 1,
    ) -> None:
        self.clock = clock or SimulatedClock()
        self._noise = Noise(seed)
        self._work = work or self._let_time_pass
        self._broken = broken
        self._cell = cell or Cell({"depth": 1}, operations=10, runs=3, expected_s=0.0)
        self.opened: list[str] = []
        self.closed: list[str] = []

    def _let_time_pass(self, target: Target) -> None:
        assert isinstance(target, Copy)
        self.clock.advance(self._noise.seconds(target.seconds))

    def cells(self, profile: Profile) -> Sequence[Cell]:
        return [self._cell]

    def refuses(self, target: Target) -> str:
        return "not this one" if target.name == "refused" else ""

    def open(
        self, target: Target, cell: Cell, workspace: Workspace, seed: int
    ) -> Trial:
        self.opened.append(target.name)
        return _Answer(self, target, cell)

    def answer(self, target: Target, cell: Cell) -> Outcome:
        self._work(target)
        return Outcome(operations=cell.operations)

    def check(self, target: Target) -> None:
        if target.name == self._broken:
            raise InvalidResultError("half of it is missing")


class _Answer(Trial):
    def __init__(self, question: Question, target: Target, cell: Cell) -> None:
        self._question, self._target, self._cell = question, target, cell

    def run_once(self) -> Outcome:
        return self._question.answer(self._target, self._cell)

    def validate(self, outcome: Outcome) -> None:
        self._question.check(self._target)

    def close(self) -> None:
        self._question.closed.append(self._target.name)


COLD_CELL: Final = Cell({}, cache=CacheState.COLD, runs=1, warmups=0, expected_s=0.0)

# Blocks are never redone.
CALM_RULE: Final = RedoRule(steal=1.0, foreign_cpu=1.0, memory_pressure=1.0)


def leave_out_what_others_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out of runs: system calls, and the gate for honest fakes."""
    monkeypatch.setattr(syscall_counts, "unavailable", lambda: "left out")
    check = check_semantics
    monkeypatch.setattr(
        suite_module,
        "check_semantics",
        lambda target, workspaces: (
            () if type(target) is Copy else check(target, workspaces)
        ),
    )


def request(directory: Path, **changes: object) -> Request:
    """Return a request that any machine can answer at any load."""
    settings: dict[str, object] = {
        "directory": directory,
        "lock": directory,
        "placements": (Placement.FREE,),
        "redo": CALM_RULE,
        **changes,
    }
    return Request(**settings)  # type: ignore[arg-type]  # checked by the tests


def measure(
    directory: Path,
    targets: Sequence[Target],
    /,
    question: Question | None = None,
    clock: SimulatedClock | None = None,
    **changes: object,
) -> Results:
    """Run the suite on new instances of ``targets`` and one question."""
    question = question or Question(clock)
    clock = clock or question.clock
    by_name = {target.name: target for target in targets}
    factories = {
        name: lambda original=target: fresh(original)
        for name, target in by_name.items()
    }
    suite = Suite(
        request(directory, **changes),
        factories,
        {question.name: question},
        clock=clock,
    )
    return suite.run()


def fresh(original: Target) -> Target:
    """Return a new target like ``original``."""
    assert isinstance(original, Copy)
    if type(original) is Copy:
        return Copy(original.name, original.seconds)
    return type(original)(original.name)


def results_of(*comparisons: Comparison) -> Results:
    """Return the results of a run of no date that made ``comparisons``."""
    return Results(
        schema=SCHEMA,
        schema_version=SCHEMA_VERSION,
        suite_version="0",
        revision="abc",
        command=("snapfs", "bench", "run"),
        profile=Profile.QUICK,
        seed=1,
        started="2026-01-01T00:00:00+00:00",
        finished="2026-01-01T00:01:00+00:00",
        machine=describe_machine(),
        rules=Rules(REDO_RULE, 0.03, 0.95, (6,)),
        targets={
            "other": TargetRecord("a fake", Fairness("none", "none", "1"), "", ()),
        },
        comparisons=comparisons,
    )


def only(results: Results) -> Comparison:
    """Return the one comparison that there is."""
    (comparison,) = results.comparisons
    return comparison


def run_trial(trial: Trial) -> Outcome:
    """Make one run that is validated, between its set-up and its tear-down."""
    trial.set_up()
    try:
        outcome = trial.run_once()
        trial.validate(outcome)
    finally:
        trial.tear_down()
    return outcome
