"""Interleaved samples, handed to pytest-benchmark through its public interface.

pytest-benchmark runs all rounds of one test, then all of the next: on a busy machine
it compares hours of the day. Here the runner measures, and its samples are replayed:
the marker's ``timer`` may be any callable, and ``pedantic`` calls it right before and
right after each round.
"""

from __future__ import annotations

from collections.abc import Sequence

from snapfs.benchmarks.results import Comparison


class ReplayClock:
    """A clock that advances only by recorded samples."""

    def __init__(self) -> None:
        self._now = 0.0
        self._samples: list[float] = []

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self._now

    def load(self, seconds: Sequence[float]) -> None:
        """Take the samples that :meth:`step` will replay."""
        self._now = 0.0
        self._samples = list(reversed(seconds))

    def step(self) -> None:
        """Let one sample pass."""
        self._now += self._samples.pop()


def samples_of(comparison: Comparison, name: str) -> list[float]:
    """Return the seconds of an operation, sample by sample, of the kept blocks."""
    return [
        sample.seconds
        for block in comparison.blocks
        if not block.is_discarded
        for sample in block.samples[name]
    ]


def facts_of(comparison: Comparison, name: str) -> dict[str, object]:
    """Return what the samples alone do not say, for ``extra_info``."""
    facts: dict[str, object] = {
        "parameters": dict(comparison.parameters),
        "cache": str(comparison.cache),
        "placement": comparison.placement,
        "backing": comparison.backing,
        "reference": comparison.reference,
        "blocks": sum(not block.is_discarded for block in comparison.blocks),
    }
    effect = comparison.estimates[name].effect
    if effect is not None:
        facts |= {
            "ratio": effect.ratio,
            "interval": [effect.low, effect.high],
            "noise_floor": effect.floor,
            "verdict": str(effect.verdict),
        }
    counted = comparison.counted.get(name)
    if counted is not None:
        facts["counts"] = {key: list(runs) for key, runs in counted.counts.items()}
    return facts
