"""What a profile asks: quick is meant for 3 minutes, standard for 20.

Scenarios know their grids; here the shorter profiles choose from them, all together,
so that what they take is decided in one place. A cell that is asked for by its words
(``--cell``) need not be among them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from snapfs.benchmarks.comparison import Schedule
from snapfs.benchmarks.protocols import Cell, Profile, Scenario

SCHEDULES: Final[Mapping[Profile, Schedule]] = {
    Profile.QUICK: Schedule(looks=(6,), budget_s=0, counted_runs=1, counted_calls=()),
    Profile.STANDARD: Schedule(
        looks=(6, 9, 12, 15),
        budget_s=60,
        counted_runs=1,
        counted_calls=(),
        whole_s=20 * 60,
    ),
    Profile.FULL: Schedule(looks=(12, 15, 20), budget_s=300),
}

Choice = Mapping[str, Sequence[str]]

# By scenario, the words of the cells to ask; all cells of scenarios that are not named.
_QUICK: Final[Choice] = {
    "snapshot_call_latency": ("call=prepare", "call=stat", "call=commit"),
    "mount_latency": ("step=mount depth=32",),
    "lookup_latency": ("lookup=absent depth=32 warm",),
    "copy_up_latency": ("size_bytes=4096", "size_bytes=1048576"),
    "sequential_throughput": ("direction=write",),
    "file_call_latency": ("call=stat warm", "call=open-read-close fresh-upper"),
    "tree_walk_time": ("command=find fresh-upper",),
    "tree_change_time": ("change=untar",),
    "file_access_throughput": ("access=first-read",),
    "workload_time": ("work=git-status",),
    "image_import": ("span=prepare-to-commit",),
    "calls_during_unpack": ("load=unpack",),
    "layer_packing": ("compression=fastest",),
    "layer_index": ("look=cached",),
}
_STANDARD: Final[Choice] = {
    "snapshot_call_latency": (
        *("call=prepare snapshots=100", "call=view snapshots=100"),
        *("call=stat snapshots=100", "call=mounts snapshots=100"),
        *("call=commit snapshots=100", "call=remove snapshots=100"),
        "call=list snapshots=1000",
    ),
    "service_start_up": ("snapshots=100",),
    "collection_pass": ("until=space snapshots=100",),
    "layer_chain": ("phase=all",),
    "mount_latency": (
        *("step=mount depth=1", "step=mount depth=32"),
        *("step=mount depth=128", "step=mount depth=500"),
    ),
    "lookup_latency": (
        *("lookup=absent depth=1 warm", "lookup=absent depth=32 warm"),
        *("lookup=absent depth=128 warm", "lookup=stat depth=32 fresh-upper"),
    ),
    "file_creation_latency": ("size_bytes=4096",),
    "command_time": ("command=find",),
    "file_call_latency": (
        "call=stat depth=8 warm",
        "call=open-read-close depth=8 fresh-upper",
        "call=list-stat depth=8 fresh-upper",
    ),
    "tree_walk_time": ("command=find depth=8 fresh-upper",),
    "tree_change_time": ("change=untar", "change=remove-lower", "change=rename-lower"),
    "concurrent_change_time": ("work=create clients=4",),
    "file_access_throughput": ("access=first-read", "access=random-write"),
    "workload_time": ("work=git-status", "work=pip-install"),
    "unpack_throughput": ("compression=gzip durability=its-own",),
    "image_import": ("span=prepare-to-commit",),
    "layer_packing": ("compression=fastest",),
}
_CHOICES: Final[Mapping[Profile, Choice]] = MappingProxyType(
    {Profile.QUICK: _QUICK, Profile.STANDARD: _STANDARD}
)


# Targets that a profile asks only by their names: variants of others, and those that
# take long to make a tree.
_NOT_ASKED: Final[Mapping[Profile, frozenset[str]]] = MappingProxyType(
    {
        Profile.QUICK: frozenset(
            {
                *("full-copy", "hard-link-farm", "reflink-copy", "btrfs-snapshot"),
                *("kernel-overlayfs-volatile", "kernel-overlayfs-metacopy"),
                "kernel-overlayfs-fsconfig",
                *("snapfs-fuse-io", "snapfs-fuse-volatile", "snapfs-layer"),
                *("fuse-overlayfs-threaded", "fuse-overlayfs-2", "unionfs-fuse"),
                *("mergerfs", "mergerfs-link-cow", "mfusepy-loopback"),
                *("containerd-2-unpack", "podman-pull", "snapfs-unpack-image"),
                "dd-fsync",
            }
        ),
        # The same mount, made by another system call.
        Profile.STANDARD: frozenset({"kernel-overlayfs-fsconfig"}),
    }
)


def asks(profile: Profile, target: str) -> bool:
    """Whether a run of ``profile`` asks ``target`` if no targets are named."""
    return target not in _NOT_ASKED.get(profile, ())


def cells_of(scenario: Scenario, profile: Profile) -> Sequence[Cell]:
    """Return the cells of ``scenario`` that a run of ``profile`` measures."""
    cells = scenario.cells(profile)
    wanted = _CHOICES.get(profile, {}).get(scenario.name)
    if wanted is None:
        return cells
    choices = [set(words.split()) for words in wanted]
    return [
        cell for cell in cells if any(choice <= cell_words(cell) for choice in choices)
    ]


def cell_words(cell: Cell) -> frozenset[str]:
    """Return what ``--cell`` knows a cell by: its parameters and its cache state."""
    return frozenset(f"{cell.label} {cell.cache}".split())
