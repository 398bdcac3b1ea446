"""SnapshotManager: every verb of the contract, whoever calls.

Threading rule. Reads (``stat``, ``mounts``, ``walk``) take no lock: rows never
change, only the index that finds them does. :mod:`snapfs.manager.changes` has the
rule for verbs that change something.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

from snapfs.errors import DataLossError, FailedPreconditionError, NotFoundError
from snapfs.light_typing import TYPE_CHECKING
from snapfs.manager import views
from snapfs.manager.supply import Supply
from snapfs.metadata import MetadataStore, Row
from snapfs.model import (
    NO_LABELS,
    Durability,
    Finding,
    Garbage,
    Info,
    Kind,
    Mount,
    NewLayer,
    Owner,
    SnapshotDetails,
    StoreStatus,
    Usage,
)

if TYPE_CHECKING:
    from snapfs.manager.changes import SnapshotChanges


class SnapshotManager(Supply):
    """Implements :class:`snapfs.snapshotter.Store` for the process that owns a root.

    Its own verbs act for the command line and the library (owner ``local``);
    :class:`~snapfs.manager.containerd_view.ContainerdSnapshotter` is the same store
    as containerd may see it.
    """

    # -- the contract ----------------------------------------------------------

    def prepare(
        self, key: str, parent: str = "", labels: Mapping[str, str] = NO_LABELS
    ) -> list[Mount]:
        """See :meth:`snapfs.snapshotter.Snapshotter.prepare`."""
        return self._changes.create(Kind.ACTIVE, key, parent, labels, Owner.LOCAL)

    def view(
        self, key: str, parent: str = "", labels: Mapping[str, str] = NO_LABELS
    ) -> list[Mount]:
        """See :meth:`snapfs.snapshotter.Snapshotter.view`."""
        return self._changes.create(Kind.VIEW, key, parent, labels, Owner.LOCAL)

    def mounts(self, key: str) -> list[Mount]:
        """See :meth:`snapfs.snapshotter.Snapshotter.mounts`."""
        return self.mounts_of(self._metadata.get(key))

    def commit(
        self,
        name: str,
        key: str,
        labels: Mapping[str, str] = NO_LABELS,
        parent: str = "",
    ) -> None:
        """See :meth:`snapfs.snapshotter.Snapshotter.commit`.

        Raises:
            FailedPreconditionError: Also where ``key`` is containerd's.
        """
        row = self._metadata.find(key)
        if row is not None:
            _refuse_containerds(row, "commit")
        self._changes.commit(name, key, labels, parent)

    def remove(self, key: str) -> None:
        """See :meth:`snapfs.snapshotter.Snapshotter.remove`.

        Raises:
            FailedPreconditionError: Also where ``key`` is containerd's.
        """
        self._changes.remove(key, lambda row: _refuse_containerds(row, "remove"))

    def stat(self, key: str) -> Info:
        """See :meth:`snapfs.snapshotter.Snapshotter.stat`."""
        return self._metadata.get(key).info

    def update(self, info: Info, fieldpaths: Sequence[str] = ()) -> Info:
        """See :meth:`snapfs.snapshotter.Snapshotter.update`."""
        return self._changes.update(info, fieldpaths)

    def usage(self, key: str) -> Usage:
        """See :meth:`snapfs.snapshotter.Snapshotter.usage`."""
        row = self._metadata.get(key)
        if row.kind is Kind.VIEW:
            return Usage()
        if row.usage is not None:
            return row.usage
        from snapfs.manager.disk_errors import DAMAGE_ADVICE, disk_errors

        usage = self._parts.directories.counted_usage(row.layer_id)
        if usage is None:
            with disk_errors(f"snapshot {key!r}"):
                usage = self._meter.measure(self._paths.fs(row.layer_id))
        if not usage.inodes:  # not even a root directory
            self._metadata.get(key)  # removed meanwhile: that is all
            path = self._paths.fs(row.layer_id)
            raise DataLossError(f"snapshot {key!r}: {path} is gone; {DAMAGE_ADVICE}")
        if row.kind is Kind.COMMITTED:
            self._changes.remember_usage(row, usage)
        return usage

    def walk(self, filters: Sequence[str] = ()) -> Iterator[Info]:
        """See :meth:`snapfs.snapshotter.Snapshotter.walk`."""
        from snapfs.metadata.filters import parse_filters  # loads RE2

        matches = parse_filters(filters)
        return (row.info for row in self._metadata.rows() if matches(row.info))

    def cleanup(self) -> None:
        """See :meth:`snapfs.snapshotter.Snapshotter.cleanup`."""
        self._changes.reclaim_soon()

    def close(self) -> None:
        """See :meth:`snapfs.snapshotter.Snapshotter.close`.

        Verbs that are at work finish, new ones that change something are refused. A
        reclaim that is under way stops; what is left stays in the trash. So does the
        rest of a recovery; the next opening begins it anew.
        """
        if not self._gate.shut():
            return
        try:
            self._end_work()
        finally:
            self._gate.wait_until_empty()
            self._metadata.close()

    # -- administration --------------------------------------------------------

    def details(self, key: str) -> SnapshotDetails:
        """See :meth:`snapfs.snapshotter.StoreAdmin.details`."""
        return views.details(self._parts, self._metadata.get(key))

    def list_details(self, filters: Sequence[str] = ()) -> Iterator[SnapshotDetails]:
        """See :meth:`snapfs.snapshotter.StoreAdmin.list_details`."""
        from snapfs.metadata.filters import parse_filters  # loads RE2

        matches = parse_filters(filters)
        return (
            views.details(self._parts, row)
            for row in self._metadata.rows()
            if matches(row.info)
        )

    def browse_mounts(
        self, key: str, *, upperdir: str = "", workdir: str = ""
    ) -> list[Mount]:
        """See :meth:`snapfs.snapshotter.StoreAdmin.browse_mounts`."""
        row = self._metadata.get(key)
        stack = views.browse_stack(self._parts, row, upperdir, workdir)
        return self._parts.mounts(row, stack, Owner.LOCAL)

    def force_remove(self, key: str) -> None:
        """See :meth:`snapfs.snapshotter.StoreAdmin.force_remove`."""
        self._changes.remove(key, lambda _row: None)

    def reclaim(self, *, dry_run: bool = False) -> list[Garbage]:
        """See :meth:`snapfs.snapshotter.StoreAdmin.reclaim`."""
        if dry_run:
            return self._reclaimer.measure()
        with self._gate.open():
            return self._reclaimer.run()

    def check(self) -> list[Finding]:
        """See :meth:`snapfs.snapshotter.StoreAdmin.check`."""
        from snapfs.manager.checks import check_store

        self.finish_recovery()
        return check_store(
            self._parts, self._reclaimer.orphans(), self._changes.holding
        )

    def status(self) -> StoreStatus:
        """See :meth:`snapfs.snapshotter.StoreAdmin.status`."""
        identity = self._parts.identity
        return StoreStatus(
            root=self._paths.root,
            store_id=identity.store_id,
            format_version=identity.version,
            xattr_prefix=identity.xattr_prefix,
            driver=self._parts.driver,
            durability=self._parts.durability,
            pid=os.getpid(),
            snapshots=len(self._metadata),
            trash_entries=len(self._parts.directories.trash()),
        )

    # -- layers ----------------------------------------------------------------

    def stage(self, count: int) -> list[int]:
        """See :meth:`snapfs.snapshotter.LayerStore.stage`."""
        return self._publisher.stage(count)

    def publish(
        self, layers: Sequence[NewLayer], durability: Durability | None = None
    ) -> None:
        """See :meth:`snapfs.snapshotter.LayerStore.publish`."""
        self._publisher.publish(layers, durability)

    def active_in(self, directory: str) -> SnapshotDetails | None:
        """See :meth:`snapfs.snapshotter.LayerTargets.active_in`."""
        found = self.snapshot_in(directory)
        return found if found and found.info.kind is Kind.ACTIVE else None

    def snapshot_in(self, directory: str) -> SnapshotDetails | None:
        """Return the snapshot whose numbered directory this is, of any owner."""
        if os.path.dirname(directory) != self._paths.snapshots:
            return None
        number = os.path.basename(directory)
        if not (number.isascii() and number.isdecimal()):
            return None
        row = self._metadata.find_directory(int(number))
        return None if row is None else views.details(self._parts, row)

    def hide_below(self, key: str) -> None:
        """See :meth:`snapfs.snapshotter.LayerTargets.hide_below`."""
        self._changes.hide_below(key)

    def note_usage(self, target: SnapshotDetails, usage: Usage | None) -> None:
        """See :meth:`snapfs.snapshotter.LayerTargets.note_usage`."""
        snapshot_id = int(os.path.basename(target.directory))
        self._noted_usage.put(snapshot_id, usage)

    def continue_recovery(self) -> None:
        """Compare all sidecars with their rows after a crash, in the background.

        No verb needs what they say, and each that changes one writes it anew.
        """
        if self._mender is not None:
            self._mender.start()

    def finish_recovery(self) -> None:
        """Return when after a crash all sidecars say what their rows say."""
        if self._mender is not None:
            self._mender.finish()

    def finish_reclaim(self) -> None:
        """Wait until what this process removed is reclaimed."""
        reclaimer = self._made("_reclaimer")
        if reclaimer is not None:
            reclaimer.finish()

    # -- for the views of this package ------------------------------------------

    @property
    def changes(self) -> SnapshotChanges:
        """The verbs that change something, for views that restrict them."""
        return self._changes

    @property
    def metadata(self) -> MetadataStore:
        """The rows, for views that show only some of them."""
        return self._metadata

    def mounts_of(self, row: Row) -> list[Mount]:
        """Return the mounts of an active snapshot or a view."""
        if row.kind is Kind.COMMITTED:
            raise FailedPreconditionError(
                f"snapshot {row.key!r} is committed, not active or view; prepare or"
                " view a snapshot on it"
            )
        self._noted_usage.drop(row.snapshot_id)  # they will be written to
        stack = views.stack_of(self._parts, row)
        mounts = self._parts.mounts(row, stack, row.owner)
        if not self._metadata.is_current(row):  # then layers below may be gone too
            raise NotFoundError(f"snapshot {row.key!r} does not exist")
        return mounts


def _refuse_containerds(row: Row, verb: str) -> None:
    if row.owner is not Owner.CONTAINERD:
        return
    how = {
        "remove": "use `ctr snapshots rm`, or force it",
        "commit": "use `ctr snapshots commit`",
    }[verb]
    raise FailedPreconditionError(
        f"cannot {verb} snapshot {row.key!r}: it belongs to containerd, which still"
        f" counts on it; {how}"
    )
