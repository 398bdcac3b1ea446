"""The gate's other half: ratios with generous floors, for what no counter shows.

A lost cache, a second pass over data, a lock held too long: such things cost factors.
A limit is exceeded only if the whole interval of the ratio lies above it, in two
comparisons one after the other; noise of a shared machine widens intervals, and so
fails nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from snapfs.benchmarks.backing import Backing, best_available
from snapfs.benchmarks.counter_gate import Standing
from snapfs.benchmarks.placement import Placement
from snapfs.benchmarks.progress import Progress
from snapfs.benchmarks.protocols import Profile, Scenario
from snapfs.benchmarks.results import Comparison
from snapfs.benchmarks.selection import Factories
from snapfs.benchmarks.suite import Request, Suite
from snapfs.benchmarks.verdicts import Effect
from snapfs.errors import DataLossError, FailedPreconditionError, NotFoundError

RATIOS: Final = Path(__file__).with_name("ratios.json")

# How often a cell is compared that seems to exceed its limit.
ATTEMPTS: Final = 2

IMAGE_BYTES: Final = 1 << 30


@dataclasses.dataclass(frozen=True, slots=True)
class RatioLimit:
    """One ratio that is gated.

    Attributes:
        cell: The words of one cell of the quick profile: ``depth=32 fresh-upper``.
        reference: The target to compare with.
        at_most: How many times the reference's time the target may take.
        why: What would be lost above it.
    """

    scenario: str
    cell: str
    target: str
    reference: str
    at_most: float
    why: str

    @property
    def name(self) -> str:
        """Return the limit in words."""
        return f"{self.scenario} {self.cell} {self.target} / {self.reference}"


@dataclasses.dataclass(frozen=True, slots=True)
class RatioResult:
    """One limit, tried.

    Attributes:
        effect: What was found; None if it could not be compared.
        reason: Why it could not.
        is_broken: Whether that is the target's fault: it was rejected. A build with
            such a target fails.
    """

    limit: RatioLimit
    effect: Effect | None
    reason: str = ""
    is_broken: bool = False

    @property
    def standing(self) -> Standing:
        """How the ratio stands to the limit; the near end of its interval counts."""
        if self.effect is None:
            return Standing.EXCEEDED if self.is_broken else Standing.UNTRIED
        exceeds = self.effect.low > self.limit.at_most
        return Standing.EXCEEDED if exceeds else Standing.HOLDS


def load_ratios(path: Path = RATIOS) -> list[RatioLimit]:
    """Read a baseline of ratios.

    Raises:
        DataLossError: It is damaged.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[RatioLimit])
    except msgspec.MsgspecError as error:
        raise DataLossError(f"{path} is no baseline of ratios: {error}") from error


def try_ratios(
    limits: Sequence[RatioLimit],
    targets: Factories,
    scenarios: Mapping[str, Scenario],
    request: Request,
    progress: Progress | None = None,
) -> list[RatioResult]:
    """Compare what each limit needs; directory, lock and seed are the request's.

    Raises:
        NotFoundError: A limit names a scenario or target that is no more.
        InvalidArgumentError: It names a cell that is no more.
    """
    results = []
    for limit in limits:
        for _ in range(ATTEMPTS):
            result = _try(limit, targets, scenarios, request, progress)
            if result.standing is not Standing.EXCEEDED:
                break
        results.append(result)
    return results


def gate_request(directory: Path, lock: Path) -> Request:
    """Return what a gate asks for: the quick profile, client and target on one CPU."""
    backing = best_available()
    return Request(
        profile=Profile.QUICK,
        placements=(Placement.ONE_CPU,),
        backing=Backing.TMPFS if backing is Backing.EXT4 else backing,
        directory=directory,
        image_bytes=IMAGE_BYTES,
        lock=lock,
    )


def _try(
    limit: RatioLimit,
    targets: Factories,
    scenarios: Mapping[str, Scenario],
    request: Request,
    progress: Progress | None,
) -> RatioResult:
    names = (limit.target, limit.reference)
    if limit.scenario not in scenarios or not set(names) <= targets.keys():
        raise NotFoundError(f"{limit.name}: there is no such scenario or target")
    if reason := next(filter(None, (targets[n]().unavailable() for n in names)), ""):
        return RatioResult(limit, None, reason)
    suite = Suite(
        dataclasses.replace(request, cells=(limit.cell,)),
        {name: targets[name] for name in names},
        {limit.scenario: scenarios[limit.scenario]},
        progress,
    )
    try:
        results = suite.run()
    except FailedPreconditionError as error:
        return RatioResult(limit, None, str(error))
    return _judge(limit, results.comparisons[0])


def _judge(limit: RatioLimit, comparison: Comparison) -> RatioResult:
    if limit.target in comparison.rejected:
        reason = comparison.rejected[limit.target]
        return RatioResult(limit, None, reason, is_broken=True)
    if comparison.reference != limit.reference:
        reason = f"{limit.reference} is no baseline of this scenario"
        return RatioResult(limit, None, reason)
    return RatioResult(limit, comparison.estimates[limit.target].effect)
