"""Snapshots without content, for the rules that no file can break."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from snapfs.model import NO_LABELS, Info, Kind
from snapfs.snapshotter import Snapshotter

# Kind and parent of each snapshot that ``populate`` makes. The names are those of
# baseTestSnapshots in containerd's core/snapshots/testsuite/testsuite.go.
POPULATION: Final[Mapping[str, tuple[Kind, str]]] = {
    "c1": (Kind.COMMITTED, ""),
    "c2": (Kind.COMMITTED, "c1"),
    "a1": (Kind.ACTIVE, "c2"),
    "a2": (Kind.ACTIVE, ""),
    "v1": (Kind.VIEW, "c2"),
    "v2": (Kind.VIEW, ""),
}


def commit_empty(
    snapshots: Snapshotter,
    name: str,
    parent: str = "",
    labels: Mapping[str, str] = NO_LABELS,
) -> None:
    """Commit a snapshot that adds nothing to ``parent``."""
    snapshots.prepare(f"{name}-active", parent)
    snapshots.commit(name, f"{name}-active", labels)


def populate(snapshots: Snapshotter) -> None:
    """Make one snapshot of every kind with a parent, and one without."""
    commit_empty(snapshots, "c1")
    commit_empty(snapshots, "c2", "c1")
    snapshots.prepare("a1", "c2")
    snapshots.prepare("a2")
    snapshots.view("v1", "c2")
    snapshots.view("v2")


def listing(snapshots: Snapshotter) -> list[Info]:
    """Return the info of every snapshot, ordered by name."""
    return sorted(snapshots.walk(), key=lambda info: info.name)


def names(snapshots: Snapshotter, *filters: str) -> list[str]:
    """Return the names of all snapshots that match any of ``filters``, in order."""
    return sorted(info.name for info in snapshots.walk(filters))


def remove_all(snapshots: Snapshotter) -> None:
    """Remove every snapshot, children first."""
    while left := listing(snapshots):
        parents = {info.parent for info in left}
        for info in left:
            if info.name not in parents:
                snapshots.remove(info.name)
