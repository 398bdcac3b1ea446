"""The values that targets, scenarios and the runner exchange."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

NO_COUNTS: Final[Mapping[str, int]] = MappingProxyType({})


class InvalidResultError(Exception):
    """A run did not do what it says: its time means nothing."""


class CacheState(enum.StrEnum):
    """What is cached when a run begins, and who sees to that.

    ``WARM``: the same operation ran before; the runner makes ``cell.warmups`` runs
    that it discards. ``DCACHE_COLD``: dentries and inodes are dropped before each
    run (``drop_caches`` 2), file contents stay. ``COLD``: before each run the target
    forgets its own caches (``Target.forget_caches``), everything is written back and
    the kernel drops all caches (``drop_caches`` 3). ``FRESH_UPPER``: ``Trial.set_up``
    gives each run an upper directory that nobody has written to; the runner does
    nothing more. The drops need root, and are global to the machine.
    """

    WARM = "warm"
    DCACHE_COLD = "dcache-cold"
    COLD = "cold"
    FRESH_UPPER = "fresh-upper"


class Family(enum.StrEnum):
    """What a target can be asked; each family has its semantics gate.

    ``TREE``: a :class:`TreeTarget`. ``SNAPSHOTTER``: a :class:`SnapshotterTarget`.
    ``UNPACKER``: an :class:`UnpackTarget`.
    """

    TREE = "tree"
    SNAPSHOTTER = "snapshotter"
    UNPACKER = "unpacker"


class Profile(enum.StrEnum):
    """How much is measured: few cells and blocks, or the whole grid."""

    QUICK = "quick"
    STANDARD = "standard"
    FULL = "full"


@dataclasses.dataclass(frozen=True, slots=True)
class Fairness:
    """What a reader must know before comparing; printed with every report.

    Attributes:
        durability: What is on disk when an operation returns, in words.
        cache: What the target caches and for how long, in words.
        threads: How many threads or processes serve, in words ("1", "per CPU").
        privileges: What it needs ("root", "none").
        version: The version of what is measured, as it reports it; "" if unknown.
        notes: Anything else that makes the comparison lopsided.
    """

    durability: str
    cache: str
    threads: str
    privileges: str = ""
    version: str = ""
    notes: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Workspace:
    """Where one target or one trial may write; the runner makes and removes it.

    Attributes:
        directory: Empty, on the backing filesystem of this comparison; nobody else
            uses it. Everything that is measured lies below one of these.
        run_directory: Empty, on whatever filesystem, with a path short enough for a
            unix socket; for sockets, logs, binaries.
        backing: The backing filesystem in words, such as "ext4 (loop)".
    """

    directory: Path
    run_directory: Path
    backing: str


@dataclasses.dataclass(frozen=True, slots=True)
class Cell:
    """One set of parameters of a scenario, and how it is sampled.

    Attributes:
        parameters: What varies, in the order to be shown: ``{"depth": 32}``. Names
            carry units (``size_bytes``).
        cache: The cache state at the start of each run.
        operations: How many operations one run does; 0 for as many as fit into it,
            each of which is timed then. Choose it so that a run takes
            at least about a millisecond: the sample is its mean. A block of all
            targets should take 0.2 s: of shorter ones the redo rule cannot tell
            whether others disturbed them (``conditions.py``).
        runs: Timed runs of each target in each block; the block's value is their
            median. With ``DCACHE_COLD`` and ``COLD``, 1.
        warmups: Discarded runs of each target at the start of each block.
        expected_s: A guess of one run's seconds with ``set_up`` and ``tear_down``;
            only for the first estimate of the time left.
    """

    parameters: Mapping[str, int | str]
    cache: CacheState = CacheState.WARM
    operations: int = 1
    runs: int = 5
    warmups: int = 1
    expected_s: float = 0.1

    @property
    def label(self) -> str:
        """The parameters as text, such as ``depth=32``; "" if there are none."""
        return " ".join(f"{name}={value}" for name, value in self.parameters.items())


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What a run claims to have done; ``Trial.validate`` checks it.

    Attributes:
        operations: Operations done. The sample is elapsed time over this number.
        bytes: Bytes moved, if the question is about bandwidth.
        durations_ns: The time of each operation, if the run (or the client process
            it drives) timed them. Then the sample is their mean and p50 and p99 are
            theirs; without them, p50 and p99 are those of the samples.
        counts: Exact counts of this run (``mounts``, ``messages``), for the counter
            phase and the gate.
    """

    operations: int
    bytes: int = 0
    durations_ns: Sequence[int] = ()
    counts: Mapping[str, int] = dataclasses.field(default_factory=lambda: NO_COUNTS)
