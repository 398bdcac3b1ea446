"""The store as containerd sees it: its own snapshots and no others.

containerd's garbage collection lists the backend's snapshots and removes all that
its own database does not know (``core/metadata/snapshot.go``). A snapshot that the
command line made must therefore not show here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from snapfs.errors import AlreadyExistsError, NotFoundError
from snapfs.light_typing import TYPE_CHECKING, Final
from snapfs.manager.core import SnapshotManager
from snapfs.manager.disk_errors import disk_errors
from snapfs.metadata import Row
from snapfs.model import NO_LABELS, Info, Kind, Mount, Owner, Usage

if TYPE_CHECKING:
    from snapfs.differ import Settler

TARGET_LABEL: Final = "containerd.io/snapshot.ref"
"""Under which name containerd will commit what it prepares (docs/snapshotters)."""


class ContainerdSnapshotter:
    """Implements :class:`snapfs.snapshotter.Snapshotter` for containerd.

    Keys and names share one space with the command line's: a name that is taken
    there is taken here, but cannot be looked at. containerd's keys begin with a
    namespace and a number, so that this does not happen by chance.

    Args:
        manager: The store.
        settler: Finishes layers before they are committed; None where nobody applies
            them before their parent is known.
        shares_namespaces: What one of its namespaces has unpacked, others get.
    """

    def __init__(
        self,
        manager: SnapshotManager,
        settler: Settler | None = None,
        *,
        shares_namespaces: bool = False,
    ) -> None:
        self._manager = manager
        self._changes = manager.changes  # made before the first call
        self._shares_namespaces = shares_namespaces
        self._settler = settler

    def prepare(
        self, key: str, parent: str = "", labels: Mapping[str, str] = NO_LABELS
    ) -> list[Mount]:
        """See :meth:`snapfs.snapshotter.Snapshotter.prepare`.

        Raises:
            AlreadyExistsError: Also where it is to be filled with an image's layer
                that another namespace has already: containerd looks for that then, by
                the label and the parent (``core/metadata/snapshot.go``).
        """
        if self._shares_namespaces and TARGET_LABEL in labels:
            self._refuse_what_is_there(labels[TARGET_LABEL], parent)
        return self._create(Kind.ACTIVE, key, parent, labels)

    def view(
        self, key: str, parent: str = "", labels: Mapping[str, str] = NO_LABELS
    ) -> list[Mount]:
        """See :meth:`snapfs.snapshotter.Snapshotter.view`."""
        return self._create(Kind.VIEW, key, parent, labels)

    def mounts(self, key: str) -> list[Mount]:
        """See :meth:`snapfs.snapshotter.Snapshotter.mounts`."""
        return self._manager.mounts_of(self._get(key))

    def commit(
        self,
        name: str,
        key: str,
        labels: Mapping[str, str] = NO_LABELS,
        parent: str = "",
    ) -> None:
        """See :meth:`snapfs.snapshotter.Snapshotter.commit`."""
        for wanted in filter(None, (key, parent)):
            if self._is_hidden(wanted):
                raise NotFoundError(f"snapshot {wanted!r} does not exist")
        if self._settler is not None:
            self._settle(self._settler, name, key, parent)
        self._changes.commit(name, key, labels, parent)

    def remove(self, key: str) -> None:
        """See :meth:`snapfs.snapshotter.Snapshotter.remove`."""
        self._changes.remove(key, _refuse_others)

    def stat(self, key: str) -> Info:
        """See :meth:`snapfs.snapshotter.Snapshotter.stat`."""
        return self._get(key).info

    def update(self, info: Info, fieldpaths: Sequence[str] = ()) -> Info:
        """See :meth:`snapfs.snapshotter.Snapshotter.update`."""
        self._get(info.name)
        return self._manager.update(info, fieldpaths)

    def usage(self, key: str) -> Usage:
        """See :meth:`snapfs.snapshotter.Snapshotter.usage`."""
        self._get(key)
        return self._manager.usage(key)

    def walk(self, filters: Sequence[str] = ()) -> Iterator[Info]:
        """See :meth:`snapfs.snapshotter.Snapshotter.walk`."""
        from snapfs.metadata.filters import parse_filters  # loads RE2

        matches = parse_filters(filters)
        return (
            row.info
            for row in self._manager.metadata.rows()
            if row.owner is Owner.CONTAINERD and matches(row.info)
        )

    def cleanup(self) -> None:
        """See :meth:`snapfs.snapshotter.Snapshotter.cleanup`."""
        self._manager.cleanup()

    def close(self) -> None:
        """Do nothing: the store belongs to the service, not to one of its fronts."""

    def _create(
        self, kind: Kind, key: str, parent: str, labels: Mapping[str, str]
    ) -> list[Mount]:
        if parent and self._is_hidden(parent):
            raise NotFoundError(f"parent snapshot {parent!r} does not exist")
        return self._changes.create(kind, key, parent, labels, Owner.CONTAINERD)

    def _refuse_what_is_there(self, target: str, parent: str) -> None:
        """Refuse to make a snapshot for ``target`` on ``parent`` if there is one."""
        for row in self._manager.metadata.rows():
            info = row.info
            if (
                info.kind is Kind.COMMITTED
                and row.owner is Owner.CONTAINERD
                and info.labels.get(TARGET_LABEL) == target
                # With no parent asked for, this is the image's lowest layer, or all
                # are unpacked at once: then only the lowest one has no parent.
                and info.parent == parent
            ):
                raise AlreadyExistsError(
                    f"snapshot {target!r} is there already: {info.name!r}"
                )

    def _settle(self, settler: Settler, name: str, key: str, parent: str) -> None:
        """Finish the layer in ``key``, unless its commit is refused anyway."""
        row, _ = self._manager.metadata.check_commit(name, key, parent)
        if row.info.parent:
            return  # its layer was applied to that
        with disk_errors(f"snapshot {key!r}"):
            settler.settle(
                self._manager.details(key),
                self._manager.details(parent) if parent else None,
            )

    def _get(self, key: str) -> Row:
        if self._is_hidden(key):
            raise NotFoundError(f"snapshot {key!r} does not exist")
        return self._manager.metadata.get(key)

    def _is_hidden(self, key: str) -> bool:
        row = self._manager.metadata.find(key)
        return row is not None and row.owner is not Owner.CONTAINERD


def _refuse_others(row: Row) -> None:
    if row.owner is not Owner.CONTAINERD:
        raise NotFoundError(f"snapshot {row.key!r} does not exist")
