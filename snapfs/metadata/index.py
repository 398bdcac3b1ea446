"""The index in memory: every answer that needs no disk access."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from snapfs.metadata.row import Row


class SnapshotIndex:
    """Maps of the rows, changed only under the metadata store's lock.

    Single look-ups need no lock: rows are immutable and a dict access is atomic in
    CPython. Whoever needs two answers that agree takes the lock.
    """

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self._by_key: dict[str, Row] = {}
        self._by_id: dict[int, Row] = {}
        self._children: Counter[int] = Counter()
        self._layers: Counter[int] = Counter()
        for row in rows:
            self.add(row)

    def add(self, row: Row) -> None:
        """Enter a new row."""
        self._by_key[row.key] = row
        self._by_id[row.snapshot_id] = row
        self._children[row.parent_id] += 1
        self._layers[row.layer_id] += 1

    def discard(self, row: Row) -> None:
        """Take a row out."""
        del self._by_key[row.key]
        del self._by_id[row.snapshot_id]
        self._release(row)

    def replace(self, old: Row, new: Row) -> None:
        """Put ``new`` in the place of ``old``; the key may change.

        Readers without the lock find one of the two at any moment.
        """
        self._by_key[new.key] = new
        self._by_id[new.snapshot_id] = new
        if old.key != new.key:
            del self._by_key[old.key]
        self._children[new.parent_id] += 1
        self._layers[new.layer_id] += 1
        self._release(old)

    def by_key(self, key: str) -> Row | None:
        """Return the row of a key or name."""
        return self._by_key.get(key)

    def by_id(self, snapshot_id: int) -> Row | None:
        """Return the row of a snapshot directory."""
        return self._by_id.get(snapshot_id)

    def child_count(self, snapshot_id: int) -> int:
        """Return how many snapshots have this one as their parent."""
        return self._children[snapshot_id]

    def is_needed(self, directory_id: int) -> bool:
        """Whether a numbered directory belongs to a row, as its own or as a layer."""
        return directory_id in self._by_id or directory_id in self._layers

    def rows(self) -> list[Row]:
        """Return all rows as they are now; a copy."""
        return list(self._by_id.values())

    def keys(self) -> list[str]:
        """Return all keys and names as they are now; a copy."""
        return list(self._by_key)

    def __len__(self) -> int:
        """Return the number of snapshots."""
        return len(self._by_id)

    def _release(self, row: Row) -> None:
        for counter, number in (
            (self._children, row.parent_id),
            (self._layers, row.layer_id),
        ):
            counter[number] -= 1
            if not counter[number]:
                del counter[number]
