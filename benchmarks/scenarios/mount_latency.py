"""How long mounting and unmounting take, by the number of layers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from snapfs.benchmarks.protocols import (
    CacheState,
    Cell,
    Family,
    InvalidResultError,
    Outcome,
    Profile,
    Target,
    Trial,
    Workspace,
)
from snapfs.benchmarks.scenarios.layers import SHARED, file_names, make_layers
from snapfs.benchmarks.targets.overlay_tree import OverlayTree, Place

_DEPTHS: Final = {
    Profile.QUICK: (1, 8, 32, 128, 500),
    Profile.STANDARD: (1, 8, 32, 128, 500),
    Profile.FULL: (1, 2, 8, 32, 128, 256, 500),
}
_RUNS: Final = {Profile.QUICK: 3, Profile.STANDARD: 3, Profile.FULL: 20}

_MOUNT: Final = "mount"
_UNMOUNT: Final = "unmount"


class MountLatency:
    """One mount, until its root answers stat(2); or one unmount of a clean tree.

    The directories exist: making them is not a part of it. Each mount has upper and
    work directories that were never mounted before.
    """

    name = "mount_latency"
    question = "How long does it take to mount, and to unmount, so many layers?"
    family = Family.TREE
    operation = "mount"
    baselines: Sequence[str] = ("kernel-overlayfs",)

    def cells(self, profile: Profile) -> Sequence[Cell]:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.cells`."""
        return [
            Cell(
                {"step": step, "depth": depth},
                cache=CacheState.FRESH_UPPER,
                runs=_RUNS[profile],
                expected_s=0.005,
            )
            for step in ((_MOUNT,) if profile is Profile.QUICK else (_MOUNT, _UNMOUNT))
            for depth in _DEPTHS[profile]
        ]

    def refuses(self, target: Target) -> str:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.refuses`."""
        return "" if isinstance(target, OverlayTree) else "it mounts no layers"

    def open(
        self, target: Target, cell: Cell, workspace: Workspace, seed: int
    ) -> Trial:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.open`."""
        assert isinstance(target, OverlayTree)
        depth = int(cell.parameters["depth"])
        place = _Places(target, depth, workspace)
        return _Mount(place) if cell.parameters["step"] == _MOUNT else _Unmount(place)


class _Places:
    """A fresh place over the same layers for each run."""

    def __init__(self, target: OverlayTree, depth: int, workspace: Workspace) -> None:
        self.target = target
        self.files = file_names(depth)
        self._layers = make_layers(workspace.directory, depth, files=depth)
        self._made = 0

    def make(self) -> Place:
        self._made += 1
        return self.target.make_place(self._layers, f"mount{self._made}")

    def check(self, place: Place) -> None:
        """Check that all layers show."""
        if sorted(os.listdir(place.merged / SHARED)) != self.files:
            raise InvalidResultError(f"{place.merged} does not show every layer")
        if not os.path.ismount(place.merged):
            raise InvalidResultError(f"{place.merged} is not mounted")


class _Mount(Trial):
    def __init__(self, places: _Places) -> None:
        self._places = places
        self._place: Place | None = None

    def set_up(self) -> None:
        self._place = self._places.make()

    def run_once(self) -> Outcome:
        assert self._place is not None
        self._places.target.mount(self._place)
        os.stat(self._place.merged)
        return Outcome(operations=1)

    def validate(self, outcome: Outcome) -> None:
        assert self._place is not None
        self._places.check(self._place)

    def tear_down(self) -> None:
        assert self._place is not None
        if os.path.ismount(self._place.merged):
            self._places.target.unmount(self._place)


class _Unmount(Trial):
    def __init__(self, places: _Places) -> None:
        self._places = places
        self._place: Place | None = None

    def set_up(self) -> None:
        self._place = self._places.make()
        self._places.target.mount(self._place)
        self._places.check(self._place)

    def run_once(self) -> Outcome:
        assert self._place is not None
        self._places.target.unmount(self._place)
        return Outcome(operations=1)

    def validate(self, outcome: Outcome) -> None:
        assert self._place is not None
        if os.path.ismount(self._place.merged):
            raise InvalidResultError(f"{self._place.merged} is still mounted")

    def tear_down(self) -> None:
        assert self._place is not None
        if os.path.ismount(self._place.merged):
            self._places.target.unmount(self._place)
