"""Whether this instrument agrees with others: the same trees, one interleaved session.

In every block each tree is measured by this instrument once and by its peer twice,
in random order. How far the peer's two halves differ is the noise floor, as between
targets (``verdicts.py``): "same" means that the instruments agree.
"""

from __future__ import annotations

import contextlib
import dataclasses
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from snapfs.benchmarks.benchsuite import BenchSuite
from snapfs.benchmarks.instance import Instance
from snapfs.benchmarks.peers import Fio, Hyperfine, Peer
from snapfs.benchmarks.placement import Pinning, Placement
from snapfs.benchmarks.profiles import cell_words
from snapfs.benchmarks.protocols import Cell, Profile, Scenario
from snapfs.benchmarks.scenarios.command_time import CommandTime
from snapfs.benchmarks.scenarios.layer_chain import PHASES, LayerChain
from snapfs.benchmarks.scenarios.sequential_throughput import SequentialThroughput
from snapfs.benchmarks.selection import Factories
from snapfs.benchmarks.verdicts import Effect, judge, log_ratios, noise_floor
from snapfs.benchmarks.workspaces import Workspaces
from snapfs.errors import UnavailableError

# What the trees are: the floor, and what the ratios of most readers are about.
TARGETS: Final = ("plain-directory", "kernel-overlayfs")
SNAPSHOTTERS: Final = ("containerd-overlayfs", "snapfs")

DEFAULT_BLOCKS: Final = 12

OURS: Final = "ours"
_PEER: Final = "peer"
_CONTROL: Final = "peer#2"
_INSTRUMENTS: Final = (OURS, _PEER, _CONTROL)


@dataclasses.dataclass(frozen=True, slots=True)
class Pair:
    """A scenario and the instrument that measures the same.

    Attributes:
        targets: Two: whose ratio both instruments are asked for.
        cells: Any of these words is in a cell, or it is left out.
        runs, warmups: Of each instrument in each block. Between ours, other programs
            ran: what is not measured first warms up memory and CPU caches, as fio's
            ramp does.
    """

    scenario: Scenario
    peer: Peer
    targets: tuple[str, str] = TARGETS
    cells: tuple[str, ...] = ("warm",)
    runs: int = 3
    warmups: int = 3


_PHASES: Final = tuple(f"phase={phase}" for phase in PHASES)
_PAIRS: Final[tuple[Pair, ...]] = (
    Pair(CommandTime(), Hyperfine()),
    Pair(SequentialThroughput(), Fio()),
    # A chain is sixteen layers: long enough to need no more.
    Pair(LayerChain(), BenchSuite(), SNAPSHOTTERS, _PHASES, runs=1, warmups=0),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Agreement:
    """One tree at one cell, seen by both instruments.

    Attributes:
        peer: The peer and its version.
        ours, theirs: Median times of one operation, in seconds.
        effect: Our time against the peer's.
    """

    scenario: str
    cell: str
    target: str
    peer: str
    ours: float
    theirs: float
    effect: Effect


@dataclasses.dataclass(frozen=True, slots=True)
class RatioAgreement:
    """The ratio of the two trees at one cell, by each instrument.

    Attributes:
        ours, theirs: ``target`` against ``reference``, as each instrument sees it.
    """

    scenario: str
    cell: str
    target: str
    reference: str
    ours: Effect
    theirs: Effect


@dataclasses.dataclass(frozen=True, slots=True)
class Agreements:
    """What a session found; ``unavailable`` says which peers were not there."""

    times: Sequence[Agreement]
    ratios: Sequence[RatioAgreement]
    unavailable: Sequence[str]


@dataclasses.dataclass(frozen=True, slots=True)
class _Subject:
    """One tree at one cell, and its peer."""

    scenario: Scenario
    cell: Cell
    target: str
    peer: Peer
    instance: Instance

    @property
    def key(self) -> str:
        return f"{self.scenario.name} {self.cell.label} {self.target}"

    def measure(self, instrument: str, block: int) -> float:
        """Return the median of the times of one operation, in seconds."""
        if instrument == OURS:
            samples = self.instance.run_block(block)
            return statistics.median(sample.seconds for sample in samples)
        return statistics.median(self.peer.measure(self.instance.trial, self.cell))


def compare_instruments(
    targets: Factories,
    workspaces: Workspaces,
    *,
    blocks: int = DEFAULT_BLOCKS,
    seed: int = 1,
    listener: Callable[[int], None] = lambda _block: None,
) -> Agreements:
    """Measure the trees with this instrument and with its peers, on one CPU.

    ``listener`` is told each block that is done.

    Raises:
        UnavailableError: No peer is installed, a target is unavailable, or a peer
            failed.
    """
    reasons = {pair: pair.peer.unavailable() for pair in _PAIRS}
    missing = [reason for reason in reasons.values() if reason]
    pairs = [pair for pair, reason in reasons.items() if not reason]
    if not pairs:
        raise UnavailableError("; ".join(missing))
    pinning = Pinning(Placement.ONE_CPU)
    with pinning.restored(), contextlib.ExitStack() as cleanup:
        subjects = []
        for pair in pairs:
            for cell, target in _cells(pair):
                made = targets[target]()
                if reason := made.unavailable():
                    raise UnavailableError(f"{target}: {reason}")
                instance = Instance(target, made, pair.scenario, cell, pinning)
                cleanup.callback(instance.close)
                instance.open(workspaces, seed)
                subjects.append(
                    _Subject(pair.scenario, cell, target, pair.peer, instance)
                )
        times = _measure(subjects, blocks, seed, listener)
    return Agreements(
        [_agreement(subject, times, seed) for subject in subjects],
        [
            _ratio_agreement(first, second, times, seed)
            for first, second in zip(subjects[::2], subjects[1::2], strict=True)
        ],
        missing,
    )


def _cells(pair: Pair) -> Sequence[tuple[Cell, str]]:
    """Return the cells of the pair, each with both targets."""
    return [
        (dataclasses.replace(cell, runs=pair.runs, warmups=pair.warmups), target)
        for cell in pair.scenario.cells(Profile.FULL)
        if cell_words(cell) & set(pair.cells)
        for target in pair.targets
    ]


_Times = Mapping[tuple[str, str], Sequence[float]]


def _measure(
    subjects: Sequence[_Subject],
    blocks: int,
    seed: int,
    listener: Callable[[int], None],
) -> _Times:
    """Return one time a block, by subject and instrument."""
    found: dict[tuple[str, str], list[float]] = {}
    order = [(subject, word) for subject in subjects for word in _INSTRUMENTS]
    for block in range(blocks):
        # S311: an order for an experiment, no secret.
        random.Random(f"{seed}/{block}").shuffle(order)  # noqa: S311
        for subject, instrument in order:
            time = subject.measure(instrument, block)
            found.setdefault((subject.key, instrument), []).append(time)
        listener(block)
    return found


def _agreement(subject: _Subject, times: _Times, seed: int) -> Agreement:
    ours, theirs, control = (times[subject.key, word] for word in _INSTRUMENTS)
    floor = noise_floor(log_ratios(control, theirs))
    return Agreement(
        scenario=subject.scenario.name,
        cell=subject.cell.label,
        target=subject.target,
        peer=subject.peer.version(),
        ours=statistics.median(ours),
        theirs=statistics.median(theirs),
        effect=judge(log_ratios(ours, theirs), floor, f"{seed}/{subject.key}"),
    )


def _ratio_agreement(
    first: _Subject, second: _Subject, times: _Times, seed: int
) -> RatioAgreement:
    base = times[first.key, _PEER]
    floor = noise_floor(log_ratios(times[first.key, _CONTROL], base))

    def effect(instrument: str) -> Effect:
        ratios = log_ratios(times[second.key, instrument], times[first.key, instrument])
        return judge(ratios, floor, f"{seed}/{second.key}/{instrument}")

    return RatioAgreement(
        scenario=second.scenario.name,
        cell=second.cell.label,
        target=second.target,
        reference=first.target,
        ours=effect(OURS),
        theirs=effect(_PEER),
    )
