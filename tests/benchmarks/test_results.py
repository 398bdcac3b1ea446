"""Results as JSON: complete, and read back the same."""

from __future__ import annotations

import dataclasses
import gzip
import io
import json
from pathlib import Path

import pytest

from snapfs.benchmarks.comparing import compare_results, difference_interval
from snapfs.benchmarks.protocols import CacheState
from snapfs.benchmarks.report import print_results
from snapfs.benchmarks.results import (
    SCHEMA_VERSION,
    Comparison,
    Counted,
    ProcessMemory,
    decode,
    encode,
    load,
)
from snapfs.benchmarks.summary import estimate_all, family_ratio
from snapfs.benchmarks.table import Printer
from snapfs.benchmarks.verdicts import Verdict
from snapfs.errors import DataLossError, InvalidArgumentError
from support.benchmarking import results_of, simulated_blocks

NAMES = ("base", "base#2", "other")


def comparison_of(other: float, seed: int = 1, base: float = 1e-4) -> Comparison:
    times = {"base": base, "base#2": base, "other": other}
    blocks = simulated_blocks(times, seed)
    return Comparison(
        scenario="a_question",
        question="How long?",
        operation="call",
        parameters={"depth": 1},
        cache=CacheState.WARM,
        operations=1,
        runs=5,
        warmups=1,
        placement="two-cpus",
        backing="ext4 (rw)",
        reference="base",
        control="base#2",
        instances=NAMES,
        rejected={"bad": "loses data"},
        refused={},
        blocks=tuple(blocks),
        counted={
            "other": Counted(
                1, {"target.syscalls": (7, 7, 8)}, {}, (ProcessMemory("o", 2, 1),)
            )
        },
        estimates=estimate_all(blocks, NAMES, "base", "base#2", "seed"),
    )


def test_results_survive_the_way_through_a_file(tmp_path: Path) -> None:
    results = results_of(comparison_of(2e-4))
    file = tmp_path / "result.json"
    file.write_bytes(encode(results))

    assert load(file) == results


def test_every_field_of_the_file_is_documented() -> None:
    document = (Path(__file__).parents[2] / "docs/benchmark-results.md").read_text()
    found: set[str] = set()

    def collect(value: object) -> None:
        # Keys below these are names, not fields.
        if isinstance(value, dict):
            for key, inner in value.items():
                found.add(key)
                named = {
                    "samples",
                    "counted",
                    "estimates",
                    "targets",
                    "counts",
                    "parameters",
                    "rejected",
                    "refused",
                    "uncounted",
                    "settings",
                }
                if key in named and isinstance(inner, dict):
                    for each in inner.values():
                        collect(each)
                else:
                    collect(inner)
        elif isinstance(value, list):
            for each in value:
                collect(each)

    collect(json.loads(encode(results_of(comparison_of(2e-4)))))

    assert sorted(name for name in found if f"`{name}`" not in document) == []


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"schema": "x"}', b"\xff"])
def test_what_is_no_result_is_refused(data: bytes) -> None:
    with pytest.raises(DataLossError):
        decode(data)


def test_a_damaged_result_is_refused_by_name(tmp_path: Path) -> None:
    document = json.loads(encode(results_of(comparison_of(2e-4))))
    del document["machine"]
    file = tmp_path / "broken.json"
    file.write_text(json.dumps(document))

    with pytest.raises(DataLossError, match=r"broken\.json.*machine"):
        load(file)


def test_a_compressed_result_is_read_and_a_damaged_one_refused_by_name(
    tmp_path: Path,
) -> None:
    results = results_of(comparison_of(2e-4))
    file = tmp_path / "small.json.gz"
    packed = gzip.compress(encode(results))
    file.write_bytes(packed)

    assert load(file) == results
    for damaged in (packed[:-9], packed[:20] + b"\0" * 20 + packed[40:], packed + b"x"):
        file.write_bytes(damaged)
        with pytest.raises(DataLossError, match=r"small\.json\.gz: damaged gzip"):
            load(file)


def test_another_version_is_refused() -> None:
    newer = dataclasses.replace(results_of(), schema_version=SCHEMA_VERSION + 1)

    with pytest.raises(InvalidArgumentError, match="schema version"):
        decode(encode(newer))


def test_a_result_compared_with_itself_has_not_changed() -> None:
    results = results_of(comparison_of(2e-4))

    difference = compare_results(results, results)

    assert [change.target for change in difference.changes] == ["base", "other"]
    assert all(change.ratio == 1 for change in difference.changes)
    assert all(change.verdict is Verdict.SAME for change in difference.changes)
    assert difference.warnings == ()


def test_a_target_that_became_slower_is_found_on_a_faster_machine() -> None:
    before = results_of(comparison_of(2e-4, seed=1))
    after = results_of(comparison_of(3e-4 / 4, seed=2, base=1e-4 / 4))

    difference = compare_results(before, after)

    by_name = {change.target: change for change in difference.changes}
    assert by_name["other"].is_relative
    assert by_name["other"].verdict is Verdict.SLOWER
    assert by_name["other"].low <= 1.5 <= by_name["other"].high
    assert not by_name["base"].is_relative
    assert by_name["base"].verdict is Verdict.FASTER


def test_another_machine_is_pointed_out() -> None:
    before = results_of(comparison_of(2e-4))
    elsewhere = dataclasses.replace(before.machine, cpu="another CPU")
    after = dataclasses.replace(before, machine=elsewhere)

    (warning,) = compare_results(before, after).warnings

    assert "another CPU" in warning


def test_cells_that_one_side_lacks_are_listed() -> None:
    first = comparison_of(2e-4)
    second = dataclasses.replace(first, parameters={"depth": 2})

    difference = compare_results(results_of(first), results_of(second))

    assert difference.changes == ()
    assert difference.only_before == ("a_question depth=1 warm two-cpus",)
    assert difference.only_after == ("a_question depth=2 warm two-cpus",)


def test_equal_runs_rarely_differ_and_never_beyond_the_floor() -> None:
    verdicts = [
        change.verdict
        for seed in range(0, 40, 2)
        for change in compare_results(
            results_of(comparison_of(1e-4, seed)),
            results_of(comparison_of(1e-4, seed + 1)),
        ).changes
        if change.is_relative
    ]

    assert verdicts.count(Verdict.SAME) >= 19


def test_five_blocks_a_side_give_no_interval() -> None:
    assert difference_interval([1.0] * 5, [1.0] * 9) is None


def test_the_family_ratio_is_the_geometric_mean() -> None:
    ratio, interval = family_ratio(
        [comparison_of(2e-4, 1), comparison_of(8e-4, 2)], "other", "seed"
    )

    assert ratio == pytest.approx(4, rel=0.1)
    assert interval.low <= 4 <= interval.high


@pytest.mark.parametrize("is_terminal", [True, False])
def test_the_report_says_what_matters(
    is_terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="utf-8")

    print_results(
        results_of(comparison_of(2e-4)), Printer(stream, is_terminal=is_terminal)
    )

    stream.flush()
    text = raw.getvalue().decode()
    for words in ("base (baseline)", "A/A control", "▼ slower", "bad: n/a"):
        assert words in text
    assert "other ran 2." in text or "other ran 1.9" in text


def test_the_report_is_ascii_where_nothing_else_can_be_shown() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")

    print_results(results_of(comparison_of(2e-4)), Printer(stream, is_terminal=False))
    stream.flush()

    assert b"slower" in raw.getvalue()
