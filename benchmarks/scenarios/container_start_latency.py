"""How long containerd takes to run a container on a snapshotter."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping, Sequence
from typing import Final

from snapfs.benchmarks.protocols import (
    Cell,
    Family,
    InvalidResultError,
    Outcome,
    Profile,
    Target,
    Trial,
    Workspace,
)
from snapfs.benchmarks.scenarios import containerd_installation
from snapfs.benchmarks.scenarios.private_containerd import SHARED, PrivateContainerd
from snapfs.benchmarks.targets.containerd_overlayfs import ContainerdOverlayfs
from snapfs.benchmarks.targets.snapfs_service import (
    SnapfsService,
    only_commits_differ,
)

_RUNS: Final = {Profile.STANDARD: 3, Profile.FULL: 5}

_FILE: Final = "started"


class ContainerStartLatency:
    """``ctr run --rm`` of a program that makes one file: start, end and removal.

    Each target has a real containerd of its own. snapfs is its proxy snapshotter; of
    containerd-overlayfs that containerd uses its built-in one, without gRPC between.
    """

    name = "container_start_latency"
    question = "How long does containerd take to run a short container?"
    family = Family.SNAPSHOTTER
    operation = "container"
    baselines: Sequence[str] = ("containerd-overlayfs", "snapfs")

    def cells(self, profile: Profile) -> Sequence[Cell]:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.cells`.

        None in the quick profile: four containerds take too long to start.
        """
        if profile is Profile.QUICK:
            return []
        return [container_cell(_RUNS[profile])]

    def refuses(self, target: Target) -> str:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.refuses`."""
        if not isinstance(target, (SnapfsService, ContainerdOverlayfs)):
            return "containerd cannot use it"
        if reason := only_commits_differ(target):
            return reason
        return containerd_installation.unavailable()

    def open(
        self, target: Target, cell: Cell, workspace: Workspace, seed: int
    ) -> Trial:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.open`."""
        assert isinstance(target, (SnapfsService, ContainerdOverlayfs))
        proxy = "" if isinstance(target, ContainerdOverlayfs) else target.address
        return _Trial(
            PrivateContainerd(workspace.directory, workspace.run_directory, proxy)
        )


def container_cell(runs: int) -> Cell:
    """Return the one cell, with ``runs`` timed runs a block."""
    return Cell(_containerd(), runs=runs, expected_s=0.5)


@functools.cache
def _containerd() -> Mapping[str, str]:
    if containerd_installation.unavailable():
        return {}
    return {"containerd": containerd_installation.find().version}


class _Trial(Trial):
    def __init__(self, containerd: PrivateContainerd) -> None:
        self._containerd = containerd
        self._runs = 0
        with contextlib.ExitStack() as undo:
            undo.callback(containerd.close)
            containerd.import_image()
            self._close = undo.pop_all().close

    def set_up(self) -> None:
        self._runs += 1

    def run_once(self) -> Outcome:
        self._containerd.run(f"c{self._runs}", "/bin/touch", f"{SHARED}/{_FILE}")
        return Outcome(operations=1)

    def validate(self, outcome: Outcome) -> None:
        # Not what it prints: ctr may end before the last of that has come through.
        try:
            (self._containerd.shared / _FILE).unlink()
        except FileNotFoundError:
            raise InvalidResultError("the container did not run its command") from None
        left = self._containerd.ctr("containers", "ls", "--quiet")
        if left.strip():
            raise InvalidResultError(f"containers are left: {left.split()}")

    def processes(self) -> Sequence[int]:
        return self._containerd.processes()

    def close(self) -> None:
        self._close()
