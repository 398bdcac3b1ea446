"""The usage of active snapshots that somebody has counted while writing them."""

from __future__ import annotations

from snapfs.model import Usage


class NotedUsage:
    """By snapshot ID, in memory only: after a restart their files are walked again.

    Threads may share it: each operation is one of a dict. IDs are never reused, so
    that what is forgotten too late is never taken for another's.
    """

    def __init__(self) -> None:
        self._by_id: dict[int, Usage] = {}

    def put(self, snapshot_id: int, usage: Usage | None) -> None:
        """Keep the usage of a snapshot that nobody writes to any more; None: forget."""
        if usage is None:
            self.drop(snapshot_id)
        else:
            self._by_id[snapshot_id] = usage

    def get(self, snapshot_id: int) -> Usage | None:
        """Return what is known; None for nothing."""
        return self._by_id.get(snapshot_id)

    def drop(self, snapshot_id: int) -> None:
        """Forget what is known, if anything is."""
        self._by_id.pop(snapshot_id, None)
