"""containerd's own overlayfs snapshotter, served over gRPC."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from snapfs.benchmarks.protocols import Fairness
from snapfs.benchmarks.targets.go_programs import OVERLAYD
from snapfs.benchmarks.targets.snapshot_service import SnapshotService
from snapfs.errors import NotFoundError


class ContainerdOverlayfs(SnapshotService):
    """``overlayd``: the snapshotter behind containerd's ``contrib/snapshotservice``.

    It is configured as containerd's plugin configures it: files are removed at
    Cleanup, nothing but the records is synced.
    """

    name = "containerd-overlayfs"
    summary = "containerd's overlayfs snapshotter behind its own gRPC service"

    def fairness(self) -> Fairness:
        """See :meth:`snapfs.benchmarks.protocols.Target.fairness`."""
        return Fairness(
            durability="every record (bbolt) is on disk when a call returns;"
            " directories and the content of a commit are not synced",
            cache="none of its own; the database is mapped into memory",
            threads="one Go process, GOMAXPROCS as the CPUs it may use",
            privileges="root",
            version=OVERLAYD.containerd_version(),
            notes="removed files are deleted when Cleanup is called",
        )

    def unavailable(self) -> str:
        """See :meth:`snapfs.benchmarks.protocols.Target.unavailable`."""
        return OVERLAYD.unavailable()

    def command(self, root: Path, address: Path) -> Sequence[str]:
        """See :meth:`SnapshotService.command`."""
        return (str(OVERLAYD.build()), str(root), str(address))

    def settle(self) -> None:
        """See :meth:`SnapshotService.settle`: its Cleanup returns when all is gone."""
        # Before its first snapshot the store has no bucket, and Cleanup says so.
        with self.connect() as snapshotter, contextlib.suppress(NotFoundError):
            snapshotter.cleanup()

    def leftovers(self) -> Sequence[Path]:
        """See :meth:`SnapshotService.leftovers`."""
        return list((self.root / "snapshots").iterdir())
