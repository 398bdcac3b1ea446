"""Which cells a profile asks: quick is meant for minutes, standard for half an hour.

Scenarios know their grids; here the shorter profiles choose from them, all together,
so that what they take is decided in one place. A cell that is asked for by its words
(``--cell``) need not be among them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from snapfs.benchmarks.protocols import Cell, Profile, Scenario

Choice = Mapping[str, Sequence[str]]

# By scenario, the words of the cells to ask; all cells of scenarios that are not named.
_QUICK: Final[Choice] = {
    "snapshot_call_latency": ("call=prepare", "call=stat", "call=commit"),
    "mount_latency": ("step=mount depth=32",),
    "lookup_latency": (
        "lookup=absent depth=32 warm",
        "lookup=stat depth=32 fresh-upper",
    ),
    "copy_up_latency": ("size_bytes=4096", "size_bytes=1048576"),
    "sequential_throughput": ("direction=write",),
    "file_call_latency": ("call=stat warm", "call=open-read-close fresh-upper"),
    "tree_walk_time": ("command=find fresh-upper", "command=tar fresh-upper"),
    "tree_change_time": ("change=untar", "change=remove-lower", "change=rename-lower"),
    "file_access_throughput": ("access=first-read", "access=random-write"),
    "layer_index": ("look=cached",),
}
_STANDARD: Final[Choice] = {
    "snapshot_call_latency": ("snapshots=1000",),
    "service_start_up": ("snapshots=1000",),
    "collection_pass": ("until=space",),
    "mount_latency": ("step=mount", "step=unmount depth=32"),
    "lookup_latency": (
        "lookup=absent warm",
        "lookup=stat fresh-upper",
        "lookup=list fresh-upper depth=32",
    ),
    "file_call_latency": ("depth=8",),
    "tree_walk_time": ("depth=8 fresh-upper", "depth=8 command=find warm"),
}
_CHOICES: Final[Mapping[Profile, Choice]] = MappingProxyType(
    {Profile.QUICK: _QUICK, Profile.STANDARD: _STANDARD}
)


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
