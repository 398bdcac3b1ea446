"""The runner: interleaved, controlled, and deaf to who cheats."""

from __future__ import annotations

import dataclasses
import logging
import random
from pathlib import Path

import pytest

from snapfs.benchmarks import caches, conditions
from snapfs.benchmarks.conditions import RedoRule
from snapfs.benchmarks.profiles import SCHEDULES
from snapfs.benchmarks.protocols import Cell, Outcome, Profile, Target
from snapfs.benchmarks.results import Comparison
from snapfs.benchmarks.suite import Suite
from snapfs.benchmarks.time_shares import TimeShares
from snapfs.benchmarks.verdicts import Verdict
from snapfs.errors import FailedPreconditionError, InvalidArgumentError
from support.benchmarking import (
    CALM,
    COLD_CELL,
    Copy,
    FailsToStart,
    LosesData,
    Question,
    ReturnsEarly,
    SharesData,
    SimulatedClock,
    leave_out_what_others_try,
    measure,
    only,
    request,
)


@pytest.fixture(autouse=True)
def _in_short(monkeypatch: pytest.MonkeyPatch) -> None:
    leave_out_what_others_try(monkeypatch)


def times(comparison: Comparison) -> list[tuple[int, tuple[str, ...], object]]:
    return [(b.number, b.order, b.samples) for b in comparison.blocks]


def test_every_block_runs_every_target_and_the_baseline_twice(tmp_path: Path) -> None:
    comparison = only(measure(tmp_path, [Copy("base"), Copy("other")]))

    assert len(comparison.blocks) == 6
    for block in comparison.blocks:
        assert sorted(block.order) == ["base", "base#2", "other"]
        assert all(len(samples) == 3 for samples in block.samples.values())
    assert comparison.instances == ("base", "base#2", "other")


def test_the_order_within_blocks_is_random_and_repeatable(tmp_path: Path) -> None:
    targets = [Copy("base"), Copy("b"), Copy("c")]
    first = [block.order for block in only(measure(tmp_path, targets)).blocks]
    again = [block.order for block in only(measure(tmp_path, targets)).blocks]
    other = [block.order for block in only(measure(tmp_path, targets, seed=2)).blocks]

    assert len(set(first)) > 2
    assert first == again
    assert first != other


def test_the_order_of_the_input_changes_nothing(tmp_path: Path) -> None:
    targets = [Copy("base"), Copy("slow", 2e-3), Copy("middle", 1.5e-3)]

    first = only(measure(tmp_path, targets))
    second = only(measure(tmp_path, targets[::-1], targets=("slow", "middle", "base")))

    assert times(first) == times(second)
    assert first.estimates == second.estimates
    assert first.instances == second.instances


def test_a_slower_target_is_called_slower_by_its_factor(tmp_path: Path) -> None:
    comparison = only(measure(tmp_path, [Copy("base"), Copy("other", 1.5e-3)]))

    effect = comparison.estimates["other"].effect
    assert effect is not None
    assert effect.verdict is Verdict.SLOWER
    assert effect.low <= 1.5 <= effect.high


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        pytest.param(SharesData("bad"), "reached a lower directory", id="shares"),
        pytest.param(LosesData("bad"), "lost data", id="loses"),
        pytest.param(ReturnsEarly("bad"), "shows the merged tree", id="early"),
        pytest.param(FailsToStart("bad"), "no such device", id="fails"),
    ],
)
def test_a_target_that_cheats_is_rejected_and_not_timed(
    tmp_path: Path, target: Target, reason: str
) -> None:
    question = Question()

    results = measure(tmp_path, [Copy("base"), Copy("good"), target], question)

    comparison = only(results)
    assert reason in comparison.rejected["bad"]
    assert comparison.instances == ("base", "base#2", "good")
    assert "bad" not in question.opened
    assert any(claim.problem for claim in results.targets["bad"].semantics)


def test_a_target_whose_runs_leave_things_out_is_rejected(tmp_path: Path) -> None:
    comparison = only(
        measure(
            tmp_path,
            [Copy("base"), Copy("good"), Copy("lazy")],
            Question(clock := SimulatedClock(), broken="lazy"),
            clock,
        )
    )

    assert comparison.rejected == {"lazy": "half of it is missing"}
    assert "lazy" not in comparison.estimates


class TakesShortcuts(Question):
    """Runs that contradict themselves."""

    def __init__(self, clock: SimulatedClock, outcome: Outcome) -> None:
        super().__init__(clock)
        self._outcome = outcome

    def answer(self, target: Target, cell: Cell) -> Outcome:
        honest = super().answer(target, cell)
        return self._outcome if target.name == "bad" else honest


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        pytest.param(Outcome(operations=9), "did 9 of 10", id="fewer"),
        pytest.param(Outcome(10, durations_ns=[1] * 9), "not every", id="untimed"),
        pytest.param(Outcome(10, durations_ns=[10**12] * 10), "longer", id="longer"),
    ],
)
def test_an_outcome_that_contradicts_itself_is_rejected(
    tmp_path: Path, outcome: Outcome, reason: str
) -> None:
    clock = SimulatedClock()
    question = TakesShortcuts(clock, outcome)

    comparison = only(measure(tmp_path, [Copy("base"), Copy("bad")], question, clock))

    assert reason in comparison.rejected["bad"]


def test_a_run_that_takes_no_time_is_rejected(tmp_path: Path) -> None:
    comparison = only(measure(tmp_path, [Copy("base"), Copy("bad", seconds=0)]))

    assert comparison.rejected["bad"] == "a run took no time"


def test_everything_is_stopped_when_a_target_fails(tmp_path: Path) -> None:
    made: list[Copy] = []

    def make(name: str) -> Copy:
        made.append(Copy(name))
        return made[-1]

    question = Question(clock := SimulatedClock(), broken="lazy")
    suite = Suite(
        request(tmp_path),
        {"base": lambda: make("base"), "lazy": lambda: make("lazy")},
        {question.name: question},
        clock=clock,
    )

    suite.run()

    assert sorted(question.opened) == sorted(question.closed)
    assert not any(target.is_running for target in made)
    assert list(tmp_path.iterdir()) == []


def test_without_its_baseline_nothing_is_compared(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    question = Question(clock := SimulatedClock(), broken="base")

    with pytest.raises(FailedPreconditionError, match="nothing was compared"):
        measure(tmp_path, [Copy("base"), Copy("other")], question, clock)

    assert "the baseline base" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_another_baseline_serves_where_the_first_is_unavailable(
    tmp_path: Path,
) -> None:
    comparison = only(measure(tmp_path, [Copy("other-base"), Copy("other")]))

    assert comparison.reference == "other-base"


def test_a_baseline_is_added_to_the_targets_that_are_named(tmp_path: Path) -> None:
    targets = [Copy("base"), Copy("other"), Copy("third")]

    comparison = only(measure(tmp_path, targets, targets=("other",)))

    assert comparison.instances == ("base", "base#2", "other")


def test_a_target_that_the_question_does_not_ask_is_named(tmp_path: Path) -> None:
    comparison = only(measure(tmp_path, [Copy("base"), Copy("refused")]))

    assert comparison.refused == {"refused": "not this one"}


def test_an_unknown_name_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="did you mean base"):
        measure(tmp_path, [Copy("base")], targets=("bas",))


class Weather:
    """Conditions by block: given ones first, then calm."""

    def __init__(self, *foreign_cpu: float) -> None:
        self._shares = list(foreign_cpu)

    def between(self, first: object, last: object) -> object:
        import dataclasses

        share = self._shares.pop(0) if self._shares else 0.0
        return dataclasses.replace(CALM, foreign_cpu=share)


def test_a_disturbed_block_is_done_again_and_kept_on_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weather = Weather(0.0, 0.5)
    monkeypatch.setattr(conditions, "between", weather.between)

    comparison = only(measure(tmp_path, [Copy("base")], redo=RedoRule()))

    kept = [block.number for block in comparison.blocks if not block.is_discarded]
    discarded = [block for block in comparison.blocks if block.is_discarded]
    assert kept == [0, 1, 2, 3, 4, 5]
    assert [block.number for block in discarded] == [1]
    assert discarded[0].disturbance == "foreign cpu 50% is above 20%"
    assert discarded[0].samples["base"]


def test_blocks_are_kept_and_marked_once_the_redos_are_used_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weather = Weather(*[0.5] * 100)
    monkeypatch.setattr(conditions, "between", weather.between)

    comparison = only(measure(tmp_path, [Copy("base")], redo=RedoRule(redos=2)))

    assert sum(block.is_discarded for block in comparison.blocks) == 2
    kept = [block for block in comparison.blocks if not block.is_discarded]
    assert len(kept) == 6
    assert all(block.disturbance for block in kept)


def test_measuring_ends_when_all_intervals_are_narrow(tmp_path: Path) -> None:
    still = Question(work=lambda target: clock.advance(1e-3))
    clock = SimulatedClock()

    comparison = only(
        measure(tmp_path, [Copy("base")], still, clock, profile=Profile.STANDARD)
    )

    assert len(comparison.blocks) == 6


def test_comparisons_share_the_time_that_a_whole_run_should_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimulatedClock()
    chance = random.Random(1)
    uneven = Question(work=lambda target: clock.advance(chance.uniform(1e-3, 9e-3)))
    schedule = dataclasses.replace(SCHEDULES[Profile.STANDARD], whole_s=0)

    long = only(
        measure(tmp_path, [Copy("base")], uneven, clock, profile=Profile.STANDARD)
    )
    monkeypatch.setitem(SCHEDULES, Profile.STANDARD, schedule)
    short = only(
        measure(tmp_path, [Copy("base")], uneven, clock, profile=Profile.STANDARD)
    )

    assert len(long.blocks) == SCHEDULES[Profile.STANDARD].looks[-1]
    assert len(short.blocks) == SCHEDULES[Profile.STANDARD].looks[0]


def test_cold_cells_drop_caches_before_each_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped: list[str] = []
    knob = tmp_path / "drop_caches"
    knob.touch()
    monkeypatch.setattr(caches, "_DROP_CACHES", knob)
    monkeypatch.setattr(
        caches, "write_back", lambda _: dropped.append(knob.read_text())
    )
    work = tmp_path / "work"
    work.mkdir()
    clock = SimulatedClock()
    question = Question(clock, cell=COLD_CELL)

    comparison = only(measure(work, [Copy("base")], question, clock))

    assert len(comparison.blocks) == 6
    assert len(dropped) >= 2 * 6
    assert knob.read_text() == "3"


def test_a_cache_state_that_cannot_be_made_leaves_the_cell_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(caches, "_DROP_CACHES", tmp_path / "missing")
    caplog.set_level(logging.WARNING)

    with pytest.raises(FailedPreconditionError):
        measure(tmp_path, [Copy("base")], Question(cell=COLD_CELL))

    assert "need root" in caplog.text


def test_only_cells_with_the_words_asked_for_are_measured(tmp_path: Path) -> None:
    targets = [Copy("base"), Copy("other")]

    found = measure(tmp_path, targets, cells=("depth=1 warm",))

    assert only(found).label == "depth=1 warm free"
    with pytest.raises(InvalidArgumentError, match=r"depth=2.*did you mean"):
        measure(tmp_path, targets, cells=("depth=2 warm",))


def test_what_a_profile_does_not_ask_is_in_the_results(tmp_path: Path) -> None:
    class Unasked(Question):
        name = "unasked"

        def cells(self, profile: Profile) -> list[Cell]:
            return []

    question = Question()
    suite = Suite(
        request(tmp_path),
        {"base": lambda: Copy("base"), "other": lambda: Copy("other")},
        {"unasked": Unasked(), question.name: question},
        clock=question.clock,
    )

    assert suite.run().left_out == {"unasked": "the quick profile does not ask it"}


def test_time_that_one_comparison_does_not_use_goes_to_those_after_it() -> None:
    now = [100.0]
    shares = TimeShares([10.0, 30.0, 60.0], 50.0, lambda: now[0])

    assert shares.expected_s() == [5.0, 15.0, 30.0]
    assert shares.budget_s(0) == 5.0
    now[0] += 5
    assert shares.budget_s(1) == 15.0
    now[0] += 3
    assert shares.budget_s(2) == 42.0
    now[0] += 50
    assert shares.budget_s(2) == 0.0
