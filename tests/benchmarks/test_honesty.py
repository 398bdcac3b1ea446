"""The instrument on targets whose truth is known by construction, without any slack.

Simulated runs go through the whole runner on a seeded clock: what they find is the
same on every machine. On the real machine the truth is made, not assumed: the slowed
target reads its own clock and goes on until exactly the factor has passed.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from snapfs.benchmarks.placement import Placement
from snapfs.benchmarks.protocols import Cell, Target
from snapfs.benchmarks.results import Results
from snapfs.benchmarks.suite import Suite
from snapfs.benchmarks.verdicts import Effect, Verdict
from snapfs.benchmarks.wording import percent
from support.benchmarking import (
    Copy,
    Question,
    SimulatedClock,
    leave_out_what_others_try,
    measure,
    only,
    request,
)

RUNS = 100
REAL_RUNS = 20

# Intervals of 6 blocks cover the truth in 31 of 32 cases, by theory. Of 100 of them
# fewer than 92 do so with 1 in 200 sets of seeds.
LEAST_COVERED_OF_100 = 92

# Of 20 such intervals fewer than 15 do in 2
# of 100,000 test runs; of 20 verdicts that are false in 1 of 20 cases at most, more
# than 5 in 3 of 10,000 at most.
LEAST_COVERED = 15
MOST_FALSE = 5


@pytest.fixture(autouse=True)
def _in_short(monkeypatch: pytest.MonkeyPatch) -> None:
    leave_out_what_others_try(monkeypatch)


def effects_of(
    directory: Path, times: Mapping[str, float], seed: int
) -> Mapping[str, Effect]:
    """Return the effects that one simulated run of the suite finds."""
    question = Question(SimulatedClock(), seed=seed)
    targets = [Copy(name, seconds) for name, seconds in times.items()]
    return found_in(measure(directory, targets, question, seed=seed))


def found_in(results: Results) -> Mapping[str, Effect]:
    estimates = only(results).estimates
    return {name: each.effect for name, each in estimates.items() if each.effect}


@pytest.mark.slow
def test_equal_targets_are_the_same_in_95_of_100_runs_of_the_suite(
    tmp_path: Path,
) -> None:
    times = {"base": 1e-3, "other": 1e-3}

    verdicts = [
        effects_of(tmp_path, times, seed)["other"].verdict for seed in range(RUNS)
    ]

    assert verdicts.count(Verdict.SAME) >= 95


@pytest.mark.slow
@pytest.mark.parametrize("factor", [1.5, pytest.param(0.8, marks=pytest.mark.full)])
def test_a_factor_known_by_construction_lies_in_the_interval(
    tmp_path: Path, factor: float
) -> None:
    times = {"base": 1e-3, "other": factor * 1e-3}
    expected = Verdict.SLOWER if factor > 1 else Verdict.FASTER

    found = [effects_of(tmp_path, times, seed)["other"] for seed in range(RUNS)]

    covered = [effect.low <= factor <= effect.high for effect in found]
    assert sum(covered) >= LEAST_COVERED_OF_100
    assert sum(effect.verdict is expected for effect in found) >= 95


def test_a_factor_without_noise_is_found_to_the_digit(tmp_path: Path) -> None:
    clock = SimulatedClock()

    def work(target: Target) -> None:
        assert isinstance(target, Copy)
        clock.advance(target.seconds)

    question = Question(clock, work=work)

    found = found_in(measure(tmp_path, [Copy("base"), Copy("other", 1.5e-3)], question))

    effect = found["other"]
    assert (effect.low, effect.ratio, effect.high) == pytest.approx(
        (1.5,) * 3, rel=1e-12
    )


def slowed_by(factor: float, is_slowed: Callable[[Target], bool]) -> Question:
    """Return a question whose slowed targets take ``factor`` times as long, exactly.

    The factor is applied to the very run that it belongs to, by the target's own
    reading of the clock: whatever the machine did to the work, it does to both.
    """

    def work(target: Target) -> None:
        begin = time.perf_counter_ns()
        sum(range(60_000))
        if is_slowed(target):
            end = begin + round((time.perf_counter_ns() - begin) * factor)
            while time.perf_counter_ns() < end:
                pass

    return Question(work=work, cell=Cell({}, runs=3, warmups=1, expected_s=0.0))


@pytest.mark.full
@pytest.mark.slow
def test_on_this_machine_the_same_is_the_same_and_a_slowdown_is_found_with_its_factor(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    names = ("base", "equal", "slowed")
    question = slowed_by(1.5, lambda target: target.name == "slowed")
    targets = {name: lambda name=name: Copy(name) for name in names}

    found = [
        found_in(Suite(request(tmp_path, seed=seed), targets, {"q": question}).run())
        for seed in range(REAL_RUNS)
    ]

    floors = sorted(effects["equal"].floor for effects in found)
    words = f"{percent(floors[0])} to {percent(floors[-1])}"
    words += f", median {percent(statistics.median(floors))}"
    record_property("noise_floor", words)
    print(f"noise floor of this machine: {words}")
    different = [e for e in found if e["equal"].verdict is not Verdict.SAME]
    assert len(different) <= MOST_FALSE
    covered = [e for e in found if e["slowed"].low <= 1.5 <= e["slowed"].high]
    assert len(covered) >= LEAST_COVERED
    wide = [e for e in found if e["slowed"].floor >= 0.5]
    slower = [e for e in found if e["slowed"].verdict is Verdict.SLOWER]
    assert len(slower) + len(wide) >= LEAST_COVERED


@pytest.mark.parametrize("placement", Placement)
def test_runs_happen_where_the_placement_says(
    placement: Placement, tmp_path: Path
) -> None:
    if reason := placement.unavailable():
        pytest.skip(reason)
    allowed = os.sched_getaffinity(0)
    seen: set[frozenset[int]] = set()

    def look(_target: Target) -> None:
        seen.add(frozenset(os.sched_getaffinity(0)))
        sum(range(1000))

    question = Question(work=look)
    targets = {"base": lambda: Copy("base")}
    Suite(request(tmp_path, placements=(placement,)), targets, {"q": question}).run()

    (cpus,) = seen
    assert len(cpus) == (len(allowed) if placement is Placement.FREE else 1)
    assert os.sched_getaffinity(0) == allowed
