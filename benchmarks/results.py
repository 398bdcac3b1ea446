"""What a run of the suite found: frozen values, written and read as JSON.

``docs/benchmark-results.md`` documents every field. Samples are kept raw, discarded
ones too; estimates can be made again from them (``summary.py``) and are stored only
to spare readers of the file the arithmetic.
"""

from __future__ import annotations

import dataclasses
import gzip
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from snapfs.benchmarks.conditions import Conditions, RedoRule
from snapfs.benchmarks.machine import Machine
from snapfs.benchmarks.protocols import CacheState, Fairness, Profile
from snapfs.benchmarks.verdicts import Effect
from snapfs.errors import DataLossError, InvalidArgumentError

_GZIP: Final = b"\x1f\x8b"  # RFC 1952, 2.3.1

SCHEMA: Final = "snapfs-benchmark"

# Raised when a field changes its meaning or goes away; new fields do not raise it.
SCHEMA_VERSION: Final = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """One timed run: how long, and for how much."""

    elapsed_ns: int
    operations: int
    bytes: int = 0
    durations_ns: tuple[int, ...] = ()

    @property
    def seconds(self) -> float:
        """Return the time of one operation."""
        if self.durations_ns:
            return sum(self.durations_ns) / len(self.durations_ns) / 1e9
        return self.elapsed_ns / self.operations / 1e9

    @property
    def latencies(self) -> Sequence[float]:
        """Return what quantiles are made of: each operation's time, or the mean."""
        if self.durations_ns:
            return [duration / 1e9 for duration in self.durations_ns]
        return [self.seconds]


@dataclasses.dataclass(frozen=True, slots=True)
class Block:
    """One round over all instances, in random order.

    Attributes:
        number: Counts from 0; a block that is redone keeps its number.
        order: The instances in the order in which they ran.
        conditions: What else the machine did meanwhile.
        disturbance: Why the redo rule objects; "" if it does not.
        is_discarded: Whether it was redone. A disturbed block is kept once the
            redos are used up.
        samples: The samples of each instance.
    """

    number: int
    order: tuple[str, ...]
    conditions: Conditions
    disturbance: str
    is_discarded: bool
    samples: Mapping[str, tuple[Sample, ...]]


@dataclasses.dataclass(frozen=True, slots=True)
class ProcessMemory:
    """The memory of one process after the runs; PSS divides shared pages."""

    name: str
    rss_bytes: int
    pss_bytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class Counted:
    """Exact counts of some runs of one instance, made apart from the timed ones.

    Attributes:
        operations: The operations of each counted run.
        counts: For each counter one number a run. A counter is named
            ``role.what``: the roles are ``client``, ``target`` and ``run`` (what
            the run itself counted).
        uncounted: Counters that this host cannot give, and why.
        memory: The target's processes after the last run.
    """

    operations: int
    counts: Mapping[str, tuple[int, ...]]
    uncounted: Mapping[str, str]
    memory: tuple[ProcessMemory, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Spread:
    """A quantile of an instance's times in seconds, with its bootstrap interval."""

    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True, slots=True)
class Estimate:
    """What the kept samples of one instance say.

    Attributes:
        samples: How many there are.
        minimum: The least time of one operation, in seconds.
        median: The median of the blocks' medians, with its bootstrap interval.
        p50, p99: Quantiles of single operations where they were timed, else of
            samples; ``p99`` is None below 100 values.
        bytes_per_s: Bandwidth at the median; 0 if no bytes are moved.
        effect: The comparison with the reference; None for the reference itself.
    """

    samples: int
    minimum: float
    median: Spread
    p50: Spread
    p99: Spread | None
    bytes_per_s: float
    effect: Effect | None


@dataclasses.dataclass(frozen=True, slots=True)
class Comparison:
    """One cell of one scenario on one placement: all that was seen.

    Attributes:
        placement: Where client and target ran: ``one-cpu``, ``two-cpus``, ``free``.
        backing: The filesystem below all instances.
        reference, control: The names of the instances of the baseline: the one that
            ratios refer to and its A/A twin.
        instances: All that took part to the end, the reference first.
        rejected: Who was stopped, and why.
        refused: Targets that the scenario does not ask, and why.
        blocks: In the order of time, discarded ones too.
    """

    scenario: str
    question: str
    operation: str
    parameters: Mapping[str, int | str]
    cache: CacheState
    operations: int
    runs: int
    warmups: int
    placement: str
    backing: str
    reference: str
    control: str
    instances: tuple[str, ...]
    rejected: Mapping[str, str]
    refused: Mapping[str, str]
    blocks: tuple[Block, ...]
    counted: Mapping[str, Counted]
    estimates: Mapping[str, Estimate]

    @property
    def label(self) -> str:
        """The cell in words, with what makes it differ from its neighbours."""
        words = [f"{name}={value}" for name, value in self.parameters.items()]
        return " ".join([*words, str(self.cache), self.placement])

    @property
    def name(self) -> str:
        """The scenario and the cell, in words."""
        return f"{self.scenario} {self.label}"

    @property
    def filesystem(self) -> str:
        """The kind of the filesystem below: ``ext4``."""
        return self.backing.partition(" ")[0]


@dataclasses.dataclass(frozen=True, slots=True)
class ClaimResult:
    """One claim of the semantics gate.

    Attributes:
        is_essential: Whether a target that breaks it is rejected.
        problem: "" if it holds.
        untested: Why it could not be tried; "" if it was.
    """

    claim: str
    is_essential: bool
    problem: str = ""
    untested: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class TargetRecord:
    """What is known of a target besides its times."""

    summary: str
    fairness: Fairness
    unavailable: str
    semantics: tuple[ClaimResult, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Rules:
    """The rules of the run, all fixed before it."""

    redo: RedoRule
    minimum_effect: float
    confidence: float
    looks: tuple[int, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Results:
    """Everything one ``bench run`` produced.

    Attributes:
        left_out: Comparisons that were asked for and could not be made, by name, and
            scenarios that the profile does not ask; and why.
        resumed: When the run went on after a break, UTC.
    """

    schema: str
    schema_version: int
    suite_version: str
    revision: str
    command: tuple[str, ...]
    profile: Profile
    seed: int
    started: str
    finished: str
    machine: Machine
    rules: Rules
    targets: Mapping[str, TargetRecord]
    comparisons: tuple[Comparison, ...]
    left_out: Mapping[str, str] = dataclasses.field(default_factory=dict)
    resumed: tuple[str, ...] = ()


def encode(results: Results) -> bytes:
    """Return ``results`` as JSON, on one line: with spaces it has twice the bytes."""
    return msgspec.json.encode(results) + b"\n"


def decode(data: bytes) -> Results:
    """Read what :func:`encode` wrote.

    Raises:
        DataLossError: This is not a result of the suite, or damaged.
        InvalidArgumentError: It has a version that this program does not read.
    """
    try:
        header = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        schema = msgspec.json.decode(header["schema"], type=str)
        version = msgspec.json.decode(header["schema_version"], type=int)
    except (msgspec.MsgspecError, KeyError) as error:
        raise DataLossError("this is no benchmark result") from error
    if schema != SCHEMA:
        raise DataLossError(f"this is no benchmark result but {schema!r}")
    if version != SCHEMA_VERSION:
        raise InvalidArgumentError(
            f"schema version {version} is not {SCHEMA_VERSION}, the one read here"
        )
    try:
        return msgspec.json.decode(data, type=Results)
    except msgspec.MsgspecError as error:
        raise DataLossError(f"a damaged benchmark result: {error}") from error


def load(path: Path) -> Results:
    """Read a result file, which gzip may have compressed.

    Raises:
        DataLossError: It is no result of the suite, or damaged.
        InvalidArgumentError: It has a version that this program does not read.
    """
    data = path.read_bytes()
    try:
        return decode(gzip.decompress(data) if data.startswith(_GZIP) else data)
    except DataLossError as error:
        raise DataLossError(f"{path}: {error}") from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataLossError(f"{path}: damaged gzip data: {error}") from error
