"""The numbers of a snapshot's life: every call, both sides, one command.

Which cells there are is fixed here; ``lifecycle_report.py`` makes one table of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from snapfs.benchmarks.placement import Placement
from snapfs.benchmarks.progress import Progress
from snapfs.benchmarks.protocols import Profile, Scenario
from snapfs.benchmarks.results import Results
from snapfs.benchmarks.scenarios.collection_pass import (
    METADATA,
    SPACE,
    CollectionPass,
    collection_cell,
)
from snapfs.benchmarks.scenarios.container_start_latency import (
    ContainerStartLatency,
    container_cell,
)
from snapfs.benchmarks.scenarios.narrowed import Narrowed
from snapfs.benchmarks.scenarios.service_start_up import ServiceStartUp, start_cell
from snapfs.benchmarks.scenarios.snapshot_call_latency import (
    SnapshotCallLatency,
    call_cell,
)
from snapfs.benchmarks.selection import Factories
from snapfs.benchmarks.suite import Request, Suite
from snapfs.errors import FailedPreconditionError

OURS: Final = "snapfs"
SYNCED: Final = "snapfs-layer"
THEIRS: Final = "containerd-overlayfs"
BOTH: Final = (OURS, THEIRS)

SNAPSHOTS: Final = (10, 1000, 10_000)

NOOP: Final = "noop"
CALLS: Final = (
    NOOP,
    *("stat", "mounts", "prepare", "view", "commit", "remove", "list"),
)

# What a commit holds where the price of having it on disk is asked for.
FILES: Final = 16
_DURABILITY_SNAPSHOTS: Final = 1000

_CONTAINER_RUNS: Final = 5

# Four stores of 10,000 snapshots are 160,000 directories and more.
IMAGE_BYTES: Final = 4 << 30


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """Comparisons that are made alike.

    Attributes:
        placement: Client and server on two CPUs; containers are free, because
            containerd's own snapshotter is no process that could be placed.
    """

    scenarios: Mapping[str, Scenario]
    profile: Profile
    placement: Placement


def plan_parts(profile: Profile, snapshots: Sequence[int]) -> Sequence[Part]:
    """Return what is to be compared with so many snapshots present."""
    durability = min(_DURABILITY_SNAPSHOTS, max(snapshots))
    calls: Mapping[str, Scenario] = {
        "calls": Narrowed(
            SnapshotCallLatency(),
            [call_cell(profile, call, n) for call in CALLS for n in snapshots],
            BOTH,
        ),
        "durability": Narrowed(
            SnapshotCallLatency(),
            [call_cell(profile, "commit", durability, FILES)],
            (*BOTH, SYNCED),
        ),
        "start-up": Narrowed(
            ServiceStartUp(), [start_cell(count) for count in snapshots], BOTH
        ),
    }
    collection = Narrowed(
        CollectionPass(),
        [collection_cell(max(snapshots), until) for until in (METADATA, SPACE)],
        BOTH,
    )
    containers = Narrowed(
        ContainerStartLatency(), [container_cell(_CONTAINER_RUNS)], BOTH
    )
    return (
        Part(calls, profile, _two_cpus()),
        # Each run makes its snapshots first: six blocks take long enough.
        Part({"collection": collection}, Profile.QUICK, _two_cpus()),
        Part({"containers": containers}, profile, Placement.FREE),
    )


def measure_lifecycle(
    request: Request,
    targets: Factories,
    snapshots: Sequence[int],
    progress: Callable[[], Progress],
) -> Results:
    """Make all comparisons; ``progress`` is made anew for each part.

    Parts for which something is missing here are left out, and logged.

    Raises:
        FailedPreconditionError: Nothing could be compared.
        UnavailableError: The backing filesystem cannot be made here.
        ResourceExhaustedError: It does not fit.
    """
    known = {name: targets[name] for name in (OURS, SYNCED, THEIRS)}
    whole: Results | None = None
    for part in plan_parts(request.profile, snapshots):
        changed = dataclasses.replace(
            request, profile=part.profile, placements=(part.placement,)
        )
        try:
            found = Suite(changed, known, part.scenarios, progress()).run()
        except FailedPreconditionError:
            continue  # the suite has logged which comparison, and why
        whole = found if whole is None else _together(whole, found)
    if whole is None:
        raise FailedPreconditionError("nothing of the lifecycle could be compared")
    return whole


def _two_cpus() -> Placement:
    two = Placement.TWO_CPUS
    return Placement.ONE_CPU if two.unavailable() else two


def _together(first: Results, second: Results) -> Results:
    return dataclasses.replace(
        first,
        finished=second.finished,
        targets={**first.targets, **second.targets},
        comparisons=(*first.comparisons, *second.comparisons),
    )
