"""A store that measures and removes in its own process.

For tests that kill this process: a worker of its own would go on, and starting one
takes longer than everything else.
"""

from __future__ import annotations

from snapfs.manager import SnapshotManager
from snapfs.worker.measuring import measure_tree
from snapfs.worker.removal import remove_trees


class InlineWorker:
    """Makes the calls of a worker process without one."""

    measure = staticmethod(measure_tree)
    remove = staticmethod(remove_trees)

    def close(self) -> None:
        pass


def without_worker(store: SnapshotManager, *, keep_reclaiming: bool = False) -> None:
    """Let ``store`` work in this process.

    Unless ``keep_reclaiming``, nothing is reclaimed in the background: in a thread of
    its own the order of steps differs from run to run.
    """
    store._meter = InlineWorker()  # type: ignore[assignment]  # makes the same calls
    store._reclaimer._worker = InlineWorker()  # type: ignore[assignment]  # likewise
    if not keep_reclaiming:
        store._reclaimer.start = lambda: None  # type: ignore[method-assign]  # not now
