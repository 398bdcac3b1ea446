"""The gate of ratios: a lost optimisation fails it, noise and gaps do not."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from snapfs.benchmarks.backing import Backing
from snapfs.benchmarks.counter_gate import Standing
from snapfs.benchmarks.profiles import cell_words
from snapfs.benchmarks.protocols import Cell, Profile, Target
from snapfs.benchmarks.ratio_gate import (
    RatioLimit,
    RatioResult,
    gate_request,
    load_ratios,
    try_ratios,
)
from snapfs.benchmarks.scenarios import SCENARIOS
from snapfs.benchmarks.targets import TARGETS
from snapfs.cli import bench_gate
from snapfs.cli.main import main
from snapfs.errors import DataLossError, NotFoundError
from support.benchmarking import (
    Copy,
    LosesData,
    Question,
    leave_out_what_others_try,
    request,
)

LIMIT = RatioLimit("a_question", "depth=1", "ours", "base", at_most=2.0, why="a cache")
STEPS = 3000


class Unhurried(Question):
    """Real work: "ours" does ``factor`` times as much, as if a cache were lost."""

    def __init__(self, factor: float) -> None:
        def work(target: Target) -> None:
            steps = STEPS * (factor if target.name == "ours" else 1)
            for _ in range(int(steps)):
                pass

        cell = Cell({"depth": 1}, runs=3, warmups=1, expected_s=0.0)
        super().__init__(work=work, cell=cell)


@pytest.fixture(autouse=True)
def _in_short(monkeypatch: pytest.MonkeyPatch) -> None:
    leave_out_what_others_try(monkeypatch)


def hold(
    directory: Path,
    question: Question,
    ours: Callable[[], Target] = lambda: Copy("ours"),
    limit: RatioLimit = LIMIT,
) -> RatioResult:
    targets = {"base": lambda: Copy("base"), "ours": ours}
    scenarios = {question.name: question}
    (result,) = try_ratios([limit], targets, scenarios, request(directory))
    return result


def test_what_costs_many_times_more_than_it_may_exceeds_the_limit(
    tmp_path: Path,
) -> None:
    question = Unhurried(factor=40)

    result = hold(tmp_path, question)

    assert result.standing is Standing.EXCEEDED
    assert result.effect is not None
    assert result.effect.low > 2
    assert question.opened.count("ours") == 2  # it had a second chance


def test_what_costs_the_same_holds(tmp_path: Path) -> None:
    assert hold(tmp_path, Unhurried(factor=1)).standing is Standing.HOLDS


def test_a_wide_interval_fails_nothing(tmp_path: Path) -> None:
    result = hold(tmp_path, Unhurried(factor=1))
    assert result.effect is not None

    noisy = dataclasses.replace(result.effect, ratio=9.0, low=1.9, high=50.0)

    assert RatioResult(LIMIT, noisy).standing is Standing.HOLDS


def test_a_target_that_breaks_its_semantics_fails_the_build(tmp_path: Path) -> None:
    result = hold(tmp_path, Unhurried(factor=1), lambda: LosesData("ours"))

    assert result.standing is Standing.EXCEEDED
    assert "lost data" in result.reason


def test_what_this_host_lacks_is_not_tried(tmp_path: Path) -> None:
    class Missing(Copy):
        def unavailable(self) -> str:
            return "no such device"

    result = hold(tmp_path, Unhurried(factor=1), lambda: Missing("ours"))

    assert (result.standing, result.reason) == (Standing.UNTRIED, "no such device")


def test_a_limit_for_what_is_no_more_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="gone"):
        hold(
            tmp_path,
            Unhurried(factor=1),
            limit=dataclasses.replace(LIMIT, target="gone"),
        )


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "ratios.json"
    file.write_text("[{}]")

    with pytest.raises(DataLossError, match=r"ratios\.json is no baseline of ratios"):
        load_ratios(file)


def test_the_command_fails_where_a_limit_is_exceeded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    limits = tmp_path / "limits.json"
    limits.write_text(
        '[{"scenario": "a_question", "cell": "depth=1", "target": "ours",'
        ' "reference": "base", "at_most": 2.0, "why": "a cache"}]'
    )
    targets = {"base": lambda: Copy("base"), "ours": lambda: Copy("ours")}
    for factor, expected in ((40, 1), (1, 0)):
        question = Unhurried(factor)
        monkeypatch.setattr(
            bench_gate, "registries", lambda q=question: (targets, {q.name: q})
        )

        code = main(
            [
                *("bench", "gate", "--ratios", "--baseline", str(limits)),
                *("--directory", str(tmp_path)),
            ]
        )

        assert code == expected
        assert ("exceeded" in capsys.readouterr().out) is (factor > 2)


@pytest.mark.parametrize("limit", [pytest.param(r, id=r.name) for r in load_ratios()])
def test_every_committed_ratio_is_of_one_quick_cell_and_has_a_reason(
    limit: RatioLimit,
) -> None:
    scenario = SCENARIOS[limit.scenario]
    words = set(limit.cell.split())

    cells = [c for c in scenario.cells(Profile.QUICK) if words <= cell_words(c)]

    assert len(cells) == 1
    assert limit.reference in scenario.baselines
    assert limit.target in TARGETS
    assert limit.at_most > 1
    assert limit.why


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.parametrize("limit", [pytest.param(r, id=r.name) for r in load_ratios()])
def test_no_optimisation_is_lost(limit: RatioLimit, tmp_path: Path) -> None:
    if reason := Backing.TMPFS.unavailable():
        pytest.skip(reason)
    gate = dataclasses.replace(gate_request(tmp_path, tmp_path), image_bytes=512 << 20)

    (result,) = try_ratios([limit], TARGETS, SCENARIOS, gate)

    if result.standing is Standing.UNTRIED:
        pytest.skip(result.reason)
    assert result.standing is Standing.HOLDS, result
