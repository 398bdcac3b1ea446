"""The committed baseline of exact counts holds; part of every run of the tests."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest

from snapfs.benchmarks import counter_gate
from snapfs.benchmarks.counter_gate import Limit, Standing, load_limits, try_limits
from snapfs.benchmarks.results import Counted
from snapfs.benchmarks.scenarios import SCENARIOS
from snapfs.benchmarks.scenarios.call_plans import OPERATIONS
from snapfs.benchmarks.targets import TARGETS
from snapfs.benchmarks.targets.go_programs import BuildError


def place(limit: Limit) -> str:
    return limit.name.rpartition(" ")[0]


GROUPS = [
    pytest.param(list(group), id=name.replace(" ", "-"))
    for name, group in itertools.groupby(load_limits(), key=place)
]


@pytest.mark.slow
@pytest.mark.parametrize("limits", GROUPS)
def test_no_operation_costs_more_than_the_committed_baseline(
    limits: list[Limit], tmp_path: Path
) -> None:
    results = try_limits(limits, TARGETS, SCENARIOS, tmp_path)

    exceeded = [each for each in results if each.standing is Standing.EXCEEDED]
    assert exceeded == []
    untried = [each.reason for each in results if each.standing is Standing.UNTRIED]
    if untried:
        pytest.skip(f"{len(untried)} of {len(results)} not counted: {untried[0]}")


def test_the_baseline_covers_the_calls_of_the_service() -> None:
    gated = {
        str(limit.parameters["call"])
        for limit in load_limits()
        if limit.scenario == "snapshot_call_latency" and limit.target == "snapfs"
    }

    assert {"prepare", "commit", "remove", "stat"} <= gated <= set(OPERATIONS)


LIMIT = Limit("s", {}, "t", "target.syncs", per_operation=2.0, tolerance=0.0)


def try_counts(
    monkeypatch: pytest.MonkeyPatch, directory: Path, counts: Sequence[int]
) -> tuple[counter_gate.GateResult, int]:
    """Try :data:`LIMIT` where one attempt after the other counts so much."""
    left = list(counts)

    def count(*_arguments: object) -> tuple[Counted, str]:
        return Counted(1, {"target.syncs": (left.pop(0),)}, {}, ()), ""

    monkeypatch.setattr(counter_gate, "_count", count)
    (result,) = try_limits([LIMIT], TARGETS, SCENARIOS, directory)
    return result, len(counts) - len(left)


@pytest.mark.parametrize(
    ("counts", "standing", "attempts"),
    [
        pytest.param([2, 9, 9, 9, 9], Standing.HOLDS, 1, id="holds-at-once"),
        pytest.param([3, 2, 9, 9, 9], Standing.HOLDS, 2, id="disturbed-once"),
        pytest.param([4, 3, 3, 5, 3], Standing.EXCEEDED, 5, id="really-more"),
    ],
)
def test_what_seems_to_exceed_is_counted_again(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    counts: list[int],
    standing: Standing,
    attempts: int,
) -> None:
    result, made = try_counts(monkeypatch, tmp_path, counts)

    assert result.standing is standing
    assert result.found == min(counts[:made])
    assert made == attempts


def test_without_containerds_client_the_gate_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    limit = next(each for each in load_limits() if "call" in each.parameters)
    scenario = SCENARIOS[limit.scenario]
    cells = type(scenario).cells

    def with_python(self: object, profile: object) -> list[object]:
        import dataclasses

        return [
            dataclasses.replace(
                cell, parameters={**cell.parameters, "client": "python"}
            )
            for cell in cells(self, profile)  # type: ignore[arg-type]  # the same
        ]

    monkeypatch.setattr(type(scenario), "cells", with_python)

    (result,) = try_limits([limit], TARGETS, SCENARIOS, tmp_path)

    assert result.standing is Standing.UNTRIED
    assert "containerd's client" in result.reason


def test_a_program_that_cannot_be_built_leaves_its_limits_untried(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_arguments: object) -> None:
        raise BuildError("no module here")

    limit = next(each for each in load_limits() if each.target == "plain-directory")
    monkeypatch.setattr(type(SCENARIOS[limit.scenario]), "open", refuse)

    (result,) = try_limits([limit], TARGETS, SCENARIOS, tmp_path)

    assert (result.standing, result.reason) == (Standing.UNTRIED, "no module here")
