"""The suite in pytest-benchmark's clothes: its table, files, ``compare``, histograms.

``pytest benchmarks/ --suite-only 'mount_*' --benchmark-json=FILE``. The samples come
from interleaved blocks (``replay.py``); ratios and verdicts are in ``extra_info``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from snapfs.benchmarks.replay import ReplayClock, facts_of, samples_of
from snapfs.benchmarks.selection import Unit

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

    from snapfs.benchmarks.conftest import Measured

pytest.importorskip("pytest_benchmark", reason="needs the extra snapfs[bench]")

CLOCK: Final = ReplayClock()


@pytest.mark.benchmark(timer=CLOCK)
def test_target(
    benchmark: BenchmarkFixture, measured: Measured, unit: Unit, target_name: str
) -> None:
    """Replay one target at one cell."""
    comparison = measured.get(unit)
    if target_name in comparison.rejected:
        reason = comparison.rejected[target_name]
        if reason.startswith("unavailable"):
            pytest.skip(reason)
        pytest.fail(reason)
    samples = samples_of(comparison, target_name)

    CLOCK.load(samples)
    benchmark.group = f"{comparison.scenario} {comparison.label}"
    benchmark.extra_info.update(facts_of(comparison, target_name))
    # Its annotations stop short of this method.
    benchmark.pedantic(  # type: ignore[no-untyped-call]
        CLOCK.step, rounds=len(samples), iterations=1
    )

    assert len(samples) >= comparison.runs
