"""The verdict: silent on equal targets, right on different ones, blind to order."""

from __future__ import annotations

import math
import random

import pytest

from snapfs.benchmarks.estimates import (
    bootstrap_interval,
    has_quantile,
    median_interval,
    quantile,
    quantile_interval,
)
from snapfs.benchmarks.results import Block, Sample
from snapfs.benchmarks.summary import estimate_all, pair_with_reference
from snapfs.benchmarks.verdicts import (
    Effect,
    Verdict,
    decide,
    is_settled,
    judge,
    noise_floor,
)
from support.benchmarking import CALM, simulated_blocks

RUNS = 100
NAMES = ["base", "base#2", "other"]


def judged(blocks: list[Block], name: str = "other") -> Effect:
    ratios = pair_with_reference(blocks, NAMES, "base")
    return judge(ratios[name], noise_floor(ratios["base#2"]), "seed")


@pytest.mark.parametrize(
    ("blocks", "spread"), [(6, 0.03), (9, 0.01), (9, 0.15), (15, 0.03)]
)
def test_equal_targets_are_the_same_in_95_of_100_runs(
    blocks: int, spread: float
) -> None:
    equal = {"base": 1e-4, "base#2": 1e-4, "other": 1e-4}

    verdicts = [
        judged(simulated_blocks(equal, seed, blocks, spread=spread)).verdict
        for seed in range(RUNS)
    ]

    assert verdicts.count(Verdict.SAME) >= 95


def test_equal_targets_are_the_same_when_measuring_stops_early() -> None:
    equal = {"base": 1e-4, "base#2": 1e-4, "other": 1e-4}
    verdicts = []
    for seed in range(RUNS):
        every = simulated_blocks(equal, seed, 15)
        for look in (9, 12, 15):
            blocks = every[:look]
            ratios = pair_with_reference(blocks, NAMES, "base")
            if all(map(is_settled, ratios.values())):
                break
        verdicts.append(judged(blocks).verdict)

    assert verdicts.count(Verdict.SAME) >= 95


@pytest.mark.parametrize("factor", [0.5, 0.85, 1.2, 3.0])
def test_a_known_factor_is_found_inside_its_interval(factor: float) -> None:
    times = {"base": 1e-4, "base#2": 1e-4, "other": factor * 1e-4}
    expected = Verdict.FASTER if factor < 1 else Verdict.SLOWER

    effects = [judged(simulated_blocks(times, seed, 12)) for seed in range(RUNS)]

    assert sum(effect.verdict is expected for effect in effects) >= 95
    assert sum(effect.low <= factor <= effect.high for effect in effects) >= 95
    inside = sum(
        each.bootstrap_low <= factor <= each.bootstrap_high for each in effects
    )
    assert inside >= 85  # percentile intervals of few blocks are a little short


def test_the_order_of_blocks_and_instances_changes_nothing() -> None:
    times = {"base": 1e-4, "base#2": 1e-4, "other": 1.3e-4}
    blocks = simulated_blocks(times, seed=7)
    shuffled = list(blocks)
    random.Random(1).shuffle(shuffled)

    first = estimate_all(blocks, NAMES, "base", "base#2", "seed")
    second = estimate_all(shuffled, NAMES[::-1], "base", "base#2", "seed")

    assert first == second


def test_a_fixed_seed_gives_the_same_intervals() -> None:
    values = [random.Random(2).random() for _ in range(12)]

    assert bootstrap_interval([values], "a") == bootstrap_interval([values], "a")


@pytest.mark.parametrize(
    ("count", "low", "high", "coverage"),
    [(6, 1, 6, 0.969), (9, 2, 8, 0.961), (12, 3, 10, 0.961), (15, 4, 12, 0.965)],
)
def test_the_interval_of_a_median_is_that_of_the_tables(
    count: int, low: int, high: int, coverage: float
) -> None:
    interval = median_interval(list(range(1, count + 1)))

    assert interval is not None
    assert (interval.low, interval.high) == (low, high)
    assert interval.coverage == pytest.approx(coverage, abs=5e-4)


def test_five_blocks_prove_nothing() -> None:
    assert median_interval([1.0] * 5) is None
    assert decide(1.0, None, 0.03) is Verdict.UNKNOWN
    assert math.isinf(noise_floor([0.0] * 5))


def test_a_certain_but_small_difference_is_no_difference() -> None:
    ratios = [math.log(1.02)] * 9

    assert judge(ratios, 0.03, "seed").verdict is Verdict.SAME
    assert judge(ratios, 0.01, "seed").verdict is Verdict.SLOWER


def test_a_difference_within_the_noise_of_the_control_is_none() -> None:
    control = [math.log(1.2), math.log(1 / 1.2)] * 4 + [0.0]
    ratios = [math.log(1.15)] * 9

    effect = judge(ratios, noise_floor(control), "seed")

    assert effect.verdict is Verdict.SAME
    assert effect.resolution >= 0.19


def test_too_wide_an_interval_asks_for_more_blocks() -> None:
    assert is_settled([0.01, -0.01] * 5)
    assert not is_settled([0.2, -0.2] * 5)
    assert not is_settled([0.0] * 5)


def test_quantiles_are_values_that_were_seen() -> None:
    ordered = list(range(1, 101))

    assert quantile(ordered, 0.5) == 50
    assert quantile(ordered, 0.99) == 99
    assert quantile([7], 0.99) == 7
    assert has_quantile(100, 0.99)
    assert not has_quantile(99, 0.99)


def test_the_interval_of_a_quantile_agrees_with_plain_resampling() -> None:
    generator = random.Random(3)
    blocks = [[generator.random() for _ in range(3)] for _ in range(3)]
    # All 27 resamples of three blocks, each as likely as any other.
    every = sorted(
        quantile(sorted(blocks[a] + blocks[b] + blocks[c]), 0.5)
        for a in range(3)
        for b in range(3)
        for c in range(3)
    )

    interval = quantile_interval(blocks, 0.5, "seed")

    assert interval.low == every[0]
    assert interval.high == every[-1]


def test_a_machine_that_slows_down_changes_no_ratio() -> None:
    drifting = [
        Block(
            number,
            ("base", "base#2", "other"),
            CALM,
            "",
            False,
            {
                name: (Sample(round(factor * 1.5**number * 1e6), operations=1),)
                for name, factor in (("base", 1), ("base#2", 1), ("other", 2))
            },
        )
        for number in range(9)
    ]

    effect = judged(drifting)

    assert effect.ratio == pytest.approx(2, rel=1e-5)
    assert effect.low == pytest.approx(effect.high, rel=1e-5)
