"""The store in memory as containerd sees it: its own snapshots and no others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from snapfs.errors import NotFoundError
from snapfs.model import NO_LABELS, Info, Kind, Mount, Owner, Usage
from support.memory_store import MemoryStore


class ContainerdView:
    """Implements :class:`snapfs.snapshotter.Snapshotter` for one owner's snapshots."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def prepare(
        self, key: str, parent: str = "", labels: Mapping[str, str] = NO_LABELS
    ) -> list[Mount]:
        return self._create(Kind.ACTIVE, key, parent, labels)

    def view(
        self, key: str, parent: str = "", labels: Mapping[str, str] = NO_LABELS
    ) -> list[Mount]:
        return self._create(Kind.VIEW, key, parent, labels)

    def mounts(self, key: str) -> list[Mount]:
        self._check_visible(key)
        return self._store.mounts(key)

    def commit(
        self,
        name: str,
        key: str,
        labels: Mapping[str, str] = NO_LABELS,
        parent: str = "",
    ) -> None:
        self._check_visible(key)
        if parent:
            self._check_visible(parent)
        self._store.commit(name, key, labels, parent)

    def remove(self, key: str) -> None:
        self._check_visible(key)
        self._store.force_remove(key)

    def stat(self, key: str) -> Info:
        self._check_visible(key)
        return self._store.stat(key)

    def update(self, info: Info, fieldpaths: Sequence[str] = ()) -> Info:
        self._check_visible(info.name)
        return self._store.update(info, fieldpaths)

    def usage(self, key: str) -> Usage:
        self._check_visible(key)
        return self._store.usage(key)

    def walk(self, filters: Sequence[str] = ()) -> Iterator[Info]:
        entries = self._store.matching(filters)
        return iter(
            [entry.info for entry in entries if entry.owner is Owner.CONTAINERD]
        )

    def cleanup(self) -> None:
        self._store.cleanup()

    def close(self) -> None:
        """Do nothing: the store belongs to somebody else."""

    def _create(
        self, kind: Kind, key: str, parent: str, labels: Mapping[str, str]
    ) -> list[Mount]:
        if parent:
            self._check_visible(parent)
        return self._store.create(kind, key, parent, labels, Owner.CONTAINERD)

    def _check_visible(self, key: str) -> None:
        if self._store.get(key).owner is not Owner.CONTAINERD:
            raise NotFoundError(f"snapshot {key!r} does not exist")
