"""dive's rules: what its file may say, and when an image passes."""

from __future__ import annotations

from pathlib import Path

import pytest

from snapfs.errors import InvalidArgumentError
from snapfs.inspect.ci_rules import DEFAULTS, State, judge, read_rules
from snapfs.inspect.efficiency import Efficiency, measure
from support.applied_layers import directory, entry
from support.inspected import inspected
from support.unpack_images import layout_of

DIVES_EXAMPLE = """\
rules:
  # If the efficiency is measured below X%, mark as failed.
  lowestEfficiency: 0.95  # a ratio

  highestWastedBytes: "20MB"
  highest-user-wasted-percent: 'disabled'
"""


def states(measured: Efficiency, **limits: str) -> list[str]:
    return [v.state.value for v in judge(measured, {**DEFAULTS, **limits})]


def test_dives_own_example_is_read() -> None:
    assert read_rules(DIVES_EXAMPLE, "f") == {
        "lowestEfficiency": "0.95",
        "highestWastedBytes": "20MB",
        "highestUserWastedPercent": "disabled",
    }
    assert read_rules("---\nrules:\n", "f") == {}
    assert read_rules("", "f") == {}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("lowestEfficiency: 1\n", "f:1: 'lowestEff", id="top-level"),
        pytest.param("rules: 3\n", "f:1", id="no-mapping"),
        pytest.param("  lowestEfficiency: 1\n", "f:1", id="without-rules"),
        pytest.param("rules:\n  lowestEficiency: 1\n", "did you mean 'low", id="typo"),
        pytest.param("rules:\n  lowestEfficiency:\n", "f:2: .* no value", id="empty"),
        pytest.param("rules:\n  lowestEfficiency\n", "f:2: .* no value", id="bare"),
        pytest.param(
            "rules:\n  lowestEfficiency: 1\n  lowest-efficiency: 0\n",
            "f:3: .* twice",
            id="twice",
        ),
        pytest.param("other:\n  a: 1\n", "f:1: 'other:'", id="another-file"),
    ],
)
def test_a_file_that_could_mean_something_else_is_refused(text: str, says: str) -> None:
    with pytest.raises(InvalidArgumentError, match=says):
        read_rules(text, "f")


@pytest.mark.parametrize("value", ["1.1", "-0.1", "nan", "much", "90%", ""])
@pytest.mark.parametrize("rule", ["lowestEfficiency", "highestUserWastedPercent"])
def test_what_is_no_ratio_is_refused(rule: str, value: str) -> None:
    with pytest.raises(InvalidArgumentError, match=rule):
        judge(Efficiency(0, 0, 0, ()), {**DEFAULTS, rule: value})


@pytest.mark.parametrize(
    ("limit", "size_bytes"),
    [
        pytest.param("0", 0, id="zero"),
        pytest.param("20", 20, id="bytes"),
        pytest.param("20B", 20, id="with-unit"),
        pytest.param("20KB", 20_000, id="decimal"),
        pytest.param("20 kib", 20 << 10, id="binary"),
        pytest.param("1.5M", 1_500_000, id="letter"),
        pytest.param("1,000", 1000, id="comma"),
        pytest.param("1GiB", 1 << 30, id="gib"),
    ],
)
def test_sizes_are_read_as_dive_reads_them(limit: str, size_bytes: int) -> None:
    def state(wasted: int) -> str:
        measured = Efficiency(1 << 40, 1 << 40, wasted, ())
        return states(measured, highestWastedBytes=limit)[1]

    assert (state(size_bytes), state(size_bytes + 1)) == ("pass", "fail")


@pytest.mark.parametrize("value", ["20XB", "MB", "-1", "", "1 000"])
def test_what_is_no_size_is_refused(value: str) -> None:
    with pytest.raises(InvalidArgumentError, match="highestWastedBytes"):
        judge(Efficiency(0, 0, 0, ()), {**DEFAULTS, "highestWastedBytes": value})


def test_a_limit_that_is_just_met_passes() -> None:
    met = Efficiency(1000, 1000, 100, ())
    crossed = Efficiency(1000, 1000, 101, ())

    assert states(met) == ["pass", "skip", "pass"]
    assert states(crossed) == ["fail", "skip", "fail"]


def test_an_image_without_files_passes() -> None:
    assert states(Efficiency(0, 0, 0, ())) == ["pass", "skip", "pass"]


def test_what_only_deletes_fails_by_the_layers_above_the_base() -> None:
    assert states(Efficiency(1000, 0, 5, ())) == ["pass", "skip", "fail"]


def test_each_hidden_byte_counts_once_and_opaque_directories_hide(
    tmp_path: Path,
) -> None:
    # dive takes no notice of the opaque mark, and counts all three copies of f.
    layers = [
        [entry("f", b"x" * 100), directory("d"), entry("d/hidden", b"y" * 700)],
        [entry("f", b"z" * 100), directory("d"), entry("d/.wh..wh..opq")],
        [entry("f", b"w" * 100)],
    ]

    with inspected(layout_of(tmp_path / "i", *layers), tmp_path / "c") as inspection:
        measured = measure(inspection)

    assert (measured.stored_bytes, measured.user_bytes) == (1000, 200)
    assert measured.wasted_bytes == 900
    assert measured.score == pytest.approx(0.1)
    assert measured.user_wasted == pytest.approx(4.5)
    assert State.FAILED in states(measured)
