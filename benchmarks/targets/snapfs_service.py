"""``snapfs serve``: this project's snapshotter."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import snapfs
from snapfs.benchmarks.protocols import Fairness, Target
from snapfs.benchmarks.targets.server_process import wait_for_answer
from snapfs.benchmarks.targets.snapshot_service import SnapshotService
from snapfs.model import Durability
from snapfs.remote import RemoteStore

_RECORDS: Final = "every row and sidecar is on disk when a call returns"
_CONTENT: Final = {
    Durability.NONE: "the content of a commit is not synced",
    Durability.LAYER: "the content of a commit is synced before it returns",
    Durability.IMAGE: "the content of an image is synced before its layers commit",
}
_NAMES: Final = {Durability.NONE: "snapfs", Durability.LAYER: "snapfs-layer"}


class SnapfsService(SnapshotService):
    """``snapfs serve`` with the kernel driver and its defaults, but the durability.

    ``NONE`` is what containerd's own snapshotter does, and so is named plainly
    "snapfs": speeds are compared at equal durability.
    """

    def __init__(self, durability: Durability = Durability.NONE) -> None:
        super().__init__()
        self.durability = durability

    @property
    def name(self) -> str:
        """See :class:`snapfs.benchmarks.protocols.Target`."""
        return _NAMES.get(self.durability, f"snapfs-{self.durability}")

    @property
    def summary(self) -> str:
        """See :class:`snapfs.benchmarks.protocols.Target`."""
        return f"snapfs serve --durability {self.durability}, kernel driver"

    def fairness(self) -> Fairness:
        """See :meth:`snapfs.benchmarks.protocols.Target.fairness`."""
        return Fairness(
            durability=f"{_RECORDS}; {_CONTENT[self.durability]}",
            cache="an index of all records in memory; a reserve of empty directories",
            threads="one Python process with 16 threads for calls, one worker process",
            privileges="root",
            version=f"{snapfs.__version__}, Python {sys.version.split()[0]}",
            notes="removed files are deleted in the background by the worker",
        )

    def unavailable(self) -> str:
        """See :meth:`snapfs.benchmarks.protocols.Target.unavailable`."""
        return ""

    def command(self, root: Path, address: Path) -> Sequence[str]:
        """See :meth:`SnapshotService.command`."""
        return (
            *(sys.executable, "-m", "snapfs", "--root", str(root)),
            *("--driver", "kernel", "serve", "--address", str(address)),
            *("--durability", str(self.durability)),
        )

    def settle(self) -> None:
        """See :meth:`SnapshotService.settle`."""
        address = self.root / "snapfs.sock"
        # It is opened after containerd's, for which a start waits.
        wait_for_answer(address)
        with RemoteStore(str(address)) as store:
            store.reclaim()

    def leftovers(self) -> Sequence[Path]:
        """See :meth:`SnapshotService.leftovers`."""
        places = (self.root / name for name in ("snapshots", "staging", "trash"))
        return [entry for place in places for entry in place.iterdir()]


def only_commits_differ(target: Target) -> str:
    """Say why a question without a commit need not be asked ``target``; "" if it must.

    With another durability a commit takes longer, and nothing else.
    """
    if isinstance(target, SnapfsService) and target.durability is not Durability.NONE:
        return "it differs from snapfs in commits only"
    return ""
