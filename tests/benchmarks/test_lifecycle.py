"""The lifecycle's table: every call by the number of snapshots, and what is weak."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import pytest

from snapfs.benchmarks.backing import Backing
from snapfs.benchmarks.estimates import quantile_ratio
from snapfs.benchmarks.lifecycle import (
    BOTH,
    CALLS,
    OURS,
    SYNCED,
    THEIRS,
    measure_lifecycle,
    plan_parts,
)
from snapfs.benchmarks.lifecycle_report import print_lifecycle
from snapfs.benchmarks.progress import SilentProgress
from snapfs.benchmarks.protocols import CacheState, Profile
from snapfs.benchmarks.report import print_results, verdict_words
from snapfs.benchmarks.results import (
    Comparison,
    Results,
)
from snapfs.benchmarks.summary import estimate_all
from snapfs.benchmarks.table import Printer
from snapfs.benchmarks.targets import TARGETS
from snapfs.benchmarks.verdicts import Effect, Verdict
from snapfs.errors import FailedPreconditionError
from support.benchmarking import Copy, request, results_of, simulated_blocks

CONTROL = f"{THEIRS}#2"


def comparison_of(
    scenario: str,
    parameters: dict[str, int | str],
    spread: float = 0.03,
    **times: float,
) -> Comparison:
    """Return a simulated comparison; ``times`` are of ours, and of ours synced."""
    true = {THEIRS: 1e-4, CONTROL: 1e-4, OURS: times["ours"]}
    if "synced" in times:
        true[SYNCED] = times["synced"]
    blocks = simulated_blocks(true, seed=3, runs=20, spread=spread)
    names = (THEIRS, CONTROL, *sorted(true.keys() - {THEIRS, CONTROL}))
    return Comparison(
        scenario=scenario,
        question="How long?",
        operation="call",
        parameters=parameters,
        cache=CacheState.WARM,
        operations=1,
        runs=5,
        warmups=1,
        placement="two-cpus",
        backing="ext4 (rw)",
        reference=THEIRS,
        control=CONTROL,
        instances=names,
        rejected={},
        refused={},
        blocks=tuple(blocks),
        counted={},
        estimates=estimate_all(blocks, names, THEIRS, CONTROL, "seed"),
    )


def lifecycle_of(*comparisons: Comparison) -> Results:
    command = ("snapfs", "bench", "lifecycle")
    return dataclasses.replace(results_of(*comparisons), command=command, targets={})


def call(name: str, snapshots: int, ours: float) -> Comparison:
    parameters: dict[str, int | str] = {"call": name, "snapshots": snapshots}
    return comparison_of("snapshot_call_latency", parameters, ours=ours)


def printed(results: Results) -> list[str]:
    stream = io.TextIOWrapper(raw := io.BytesIO(), encoding="utf-8")
    print_lifecycle(results, Printer(stream, is_terminal=False))
    stream.flush()
    return raw.getvalue().decode().splitlines()


def line_of(lines: list[str], *words: str) -> str:
    (line,) = [each for each in lines if each.split()[: len(words)] == list(words)]
    return line


def test_the_table_has_both_sides_ratios_and_the_distance_from_a_noop() -> None:
    lines = printed(
        lifecycle_of(
            call("noop", 10, 0.5e-4),
            call("stat", 10, 0.8e-4),
            call("noop", 100, 0.5e-4),
            call("stat", 100, 1.6e-4),
        )
    )

    stat = line_of(lines, "stat", "10")
    assert "0.8" in stat
    assert "faster" in stat
    assert " us " in stat
    assert "+2" in stat or "+3" in stat
    assert "slower" in line_of(lines, "stat", "100")
    flat = next(
        each
        for each in lines
        if each.startswith("stat   ") and "100" not in each and "us" not in each
    )
    assert float(flat.split()[1]) == pytest.approx(2.0, rel=0.1)


def test_the_price_of_durability_is_told_against_both() -> None:
    commit = comparison_of(
        "snapshot_call_latency",
        {"call": "commit", "snapshots": 10, "files": 16},
        ours=1e-4,
        synced=3e-4,
    )

    lines = printed(lifecycle_of(commit))

    told = [line for line in lines if f"  {SYNCED}  " in line]
    assert len(told) == 2
    assert THEIRS in told[0]
    assert "  snapfs  " in told[1]


def test_a_quantiles_ratio_is_exact_where_both_move_together() -> None:
    blocks = [[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [1.5, 2.5, 9.0]]
    doubled = [[2 * value for value in block] for block in blocks]

    ratio, interval = quantile_ratio(doubled, blocks, 0.5, "seed", are_paired=True)
    _, wider = quantile_ratio(doubled, blocks, 0.5, "seed", are_paired=False)

    assert (ratio, interval.low, interval.high) == (2.0, 2.0, 2.0)
    assert wider.low < 2.0 < wider.high


def test_each_call_is_planned_with_each_number_of_snapshots() -> None:
    calls, collection, containers = plan_parts(Profile.STANDARD, (10, 10_000))

    cells = [cell.parameters for cell in calls.scenarios["calls"].cells(Profile.FULL)]
    assert [(c["call"], c["snapshots"]) for c in cells] == [
        (name, count) for name in CALLS for count in (10, 10_000)
    ]
    (commit,) = calls.scenarios["durability"].cells(Profile.FULL)
    assert commit.parameters["files"] == 16
    (passes,) = collection.scenarios.values()
    assert {cell.operations for cell in passes.cells(Profile.FULL)} == {10_000}
    assert set(containers.scenarios) == {"containers"}


def test_others_than_those_two_are_not_asked() -> None:
    calls = plan_parts(Profile.QUICK, (10,))[0].scenarios["calls"]

    for name in (*BOTH, SYNCED):
        refusal = calls.refuses(TARGETS[name]())
        assert bool(refusal) is (name == SYNCED)


def test_without_the_two_snapshotters_there_is_no_lifecycle(tmp_path: Path) -> None:
    targets = {name: lambda name=name: Copy(name) for name in (*BOTH, SYNCED)}

    with pytest.raises(FailedPreconditionError, match="lifecycle"):
        measure_lifecycle(request(tmp_path), targets, (10,), SilentProgress)


@pytest.mark.full
@pytest.mark.slow
@pytest.mark.root
def test_a_small_lifecycle_is_measured_and_printed(tmp_path: Path) -> None:
    for name in BOTH:
        if reason := TARGETS[name]().unavailable():
            pytest.skip(reason)

    results = measure_lifecycle(
        request(tmp_path, backing=Backing.DIRECTORY), TARGETS, (10,), SilentProgress
    )

    lines = printed(results)
    for name in CALLS:
        assert line_of(lines, name, "10"), lines
    assert list(tmp_path.iterdir()) == []


def effect(low: float, high: float, floor: float) -> Effect:
    return Effect(1.0, low, high, low, high, 0.96, 9, floor, Verdict.SAME)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        pytest.param(effect(0.98, 1.03, 0.03), "≈ same within 3.0 %", id="strong"),
        pytest.param(
            effect(0.98, 1.03, 0.4),
            "≈ same, but only differences above 40 % would show",
            id="wide-floor",
        ),
        pytest.param(
            effect(0.98, 1.5, 0.03),
            "≈ same, but only differences above 50 % would show",
            id="wide-interval",
        ),
    ],
)
def test_a_weak_same_says_what_it_could_not_have_seen(
    found: Effect, words: str
) -> None:
    assert verdict_words(found) == words


def test_the_report_counts_the_weak_among_the_same() -> None:
    noisy = comparison_of("a_question", {}, spread=0.4, ours=1e-4)
    stream = io.TextIOWrapper(raw := io.BytesIO(), encoding="utf-8")

    print_results(
        dataclasses.replace(lifecycle_of(noisy)), Printer(stream, is_terminal=False)
    )

    stream.flush()
    text = raw.getvalue().decode()
    assert "1 same, 1 of them weak: up to" in text
    assert "it is wide: smaller differences do not show here" in text
