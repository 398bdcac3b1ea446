"""SnapshotManager: every verb of the contract, whoever calls.

Threading rule. Reads (``stat``, ``mounts``, ``walk``) take no lock: rows never
change, only the index that finds them does. A verb that changes one snapshot holds
that snapshot's lock, so that the directory, the sidecar and the row of a snapshot
change together; the metadata store's own lock is held for its transaction alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

from snapfs.driver import Driver
from snapfs.errors import (
    DataLossError,
    FailedPreconditionError,
    NotFoundError,
    UnavailableError,
)
from snapfs.manager import checks, views
from snapfs.manager.disk_errors import disk_errors
from snapfs.manager.gate import Gate
from snapfs.manager.reclaim import Reclaimer
from snapfs.manager.sidecars import sidecar_of
from snapfs.manager.update import updated_labels
from snapfs.metadata import MetadataStore, Row, checked_labels, parse_filters
from snapfs.metadata.store import committed_row
from snapfs.model import (
    NO_LABELS,
    Durability,
    Finding,
    Garbage,
    Info,
    Kind,
    Mount,
    Owner,
    SnapshotDetails,
    StoreStatus,
    Usage,
)
from snapfs.overlay_format import mapped_root
from snapfs.state import SnapshotDirectories, StatePaths, StoreIdentity
from snapfs.state.fsio import open_directory
from snapfs.state.sidecar import append_sidecar
from snapfs.syscalls import syncfs
from snapfs.worker import WorkerProcess

_log = logging.getLogger(__name__)

_LOCK_STRIPES = 64  # enough that two snapshots seldom share a lock


@dataclasses.dataclass(frozen=True, slots=True)
class ManagerParts:
    """What a manager is made of; ``assembly`` wires it.

    Attributes:
        drivers: By the name that is stored with each snapshot.
        driver: The name of the one for new snapshots.
    """

    paths: StatePaths
    identity: StoreIdentity
    metadata: MetadataStore
    directories: SnapshotDirectories
    drivers: Mapping[str, Driver]
    driver: str
    durability: Durability


class SnapshotManager:
    """Implements :class:`snapfs.snapshotter.Store` for the process that owns a root.

    Its own verbs act for the command line and the library (owner ``local``);
    :class:`~snapfs.manager.containerd_view.ContainerdSnapshotter` is the same store
    as containerd may see it.
    """

    def __init__(self, parts: ManagerParts) -> None:
        self._parts = parts
        self._metadata = parts.metadata
        self._directories = parts.directories
        self._paths = parts.paths
        self._stripes = [threading.Lock() for _ in range(_LOCK_STRIPES)]
        self._meter = WorkerProcess()
        self._reclaimer = Reclaimer(parts.paths, parts.metadata, parts.directories)
        self._gate = Gate()

    # -- the contract ----------------------------------------------------------

    def prepare(
        self, key: str, parent: str = "", labels: Mapping[str, str] = NO_LABELS
    ) -> list[Mount]:
        """See :meth:`snapfs.snapshotter.Snapshotter.prepare`."""
        return self.create(Kind.ACTIVE, key, parent, labels, Owner.LOCAL)

    def view(
        self, key: str, parent: str = "", labels: Mapping[str, str] = NO_LABELS
    ) -> list[Mount]:
        """See :meth:`snapfs.snapshotter.Snapshotter.view`."""
        return self.create(Kind.VIEW, key, parent, labels, Owner.LOCAL)

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
        self.commit_as(name, key, labels, parent)

    def remove(self, key: str) -> None:
        """See :meth:`snapfs.snapshotter.Snapshotter.remove`.

        Raises:
            FailedPreconditionError: Also where ``key`` is containerd's.
        """
        self.remove_as(key, lambda row: _refuse_containerds(row, "remove"))

    def stat(self, key: str) -> Info:
        """See :meth:`snapfs.snapshotter.Snapshotter.stat`."""
        return self._metadata.get(key).info

    def update(self, info: Info, fieldpaths: Sequence[str] = ()) -> Info:
        """See :meth:`snapfs.snapshotter.Snapshotter.update`."""
        with self._changing(info.name) as old:
            labels = updated_labels(old.info, info, fieldpaths)
            new = dataclasses.replace(
                old,
                info=dataclasses.replace(
                    old.info,
                    labels=MappingProxyType(labels),
                    updated_ns=max(time.time_ns(), old.info.updated_ns),
                ),
                generation=old.generation + 1,
            )
            with self._recorded(old, new):
                self._metadata.replace(old, new)
        return new.info

    def usage(self, key: str) -> Usage:
        """See :meth:`snapfs.snapshotter.Snapshotter.usage`."""
        row = self._metadata.get(key)
        if row.kind is Kind.VIEW:
            return Usage()
        if row.usage is not None:
            return row.usage
        with disk_errors(f"snapshot {key!r}"):
            usage = self._meter.measure(self._paths.fs(row.layer_id))
        # Nothing at all, not even a root directory, is damage or a removal.
        if row.kind is Kind.COMMITTED and usage.inodes:
            with contextlib.suppress(NotFoundError), self._changing(key) as current:
                if current.snapshot_id == row.snapshot_id:
                    self._metadata.set_usage(current, usage)
        return usage

    def walk(self, filters: Sequence[str] = ()) -> Iterator[Info]:
        """See :meth:`snapfs.snapshotter.Snapshotter.walk`."""
        matches = parse_filters(filters)
        return (row.info for row in self._metadata.rows() if matches(row.info))

    def cleanup(self) -> None:
        """See :meth:`snapfs.snapshotter.Snapshotter.cleanup`."""
        try:
            self._reclaimer.start()
        except RuntimeError as error:  # no more threads: the next removal tries again
            _log.warning("the trash is not emptied: %s", error)

    def close(self) -> None:
        """See :meth:`snapfs.snapshotter.Snapshotter.close`.

        Verbs that are at work finish, new ones that change something are refused. A
        reclaim that is under way stops; what is left stays in the trash.
        """
        if not self._gate.shut():
            return
        try:
            self._reclaimer.close()
            self._meter.close()
        finally:
            self._gate.wait_until_empty()
            self._metadata.close()

    # -- administration --------------------------------------------------------

    def details(self, key: str) -> SnapshotDetails:
        """See :meth:`snapfs.snapshotter.StoreAdmin.details`."""
        return views.details(self._parts, self._metadata.get(key))

    def list_details(self, filters: Sequence[str] = ()) -> Iterator[SnapshotDetails]:
        """See :meth:`snapfs.snapshotter.StoreAdmin.list_details`."""
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
        return self._driver(row).mounts(stack)

    def force_remove(self, key: str) -> None:
        """See :meth:`snapfs.snapshotter.StoreAdmin.force_remove`."""
        self.remove_as(key, lambda _row: None)

    def reclaim(self, *, dry_run: bool = False) -> list[Garbage]:
        """See :meth:`snapfs.snapshotter.StoreAdmin.reclaim`."""
        if dry_run:
            return self._reclaimer.measure()
        with self._gate.open():
            return self._reclaimer.run()

    def check(self) -> list[Finding]:
        """See :meth:`snapfs.snapshotter.StoreAdmin.check`."""
        return checks.check_store(self._parts, self._reclaimer.orphans(), self._holding)

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
            trash_entries=len(self._directories.trash()),
        )

    def finish_reclaim(self) -> None:
        """Wait until what this process removed is reclaimed."""
        self._reclaimer.finish()

    # -- for the views of this package ------------------------------------------

    @property
    def metadata(self) -> MetadataStore:
        """The rows, for views that show only some of them."""
        return self._metadata

    def create(
        self,
        kind: Kind,
        key: str,
        parent: str,
        labels: Mapping[str, str],
        owner: Owner,
    ) -> list[Mount]:
        """Make an active snapshot or a view for ``owner``; return its mounts."""
        with self._gate.open():
            return self._create(kind, key, parent, labels, owner)

    def _create(
        self,
        kind: Kind,
        key: str,
        parent: str,
        labels: Mapping[str, str],
        owner: Owner,
    ) -> list[Mount]:
        parent_row = self._metadata.check_create(key, parent)
        kept = checked_labels(labels)
        fs_owner = mapped_root(kept) or self._owner_of(parent_row)
        self._metadata.mark_dirty()
        reserved_id = self._directories.take_reserved_id()
        snapshot_id = reserved_id or self._metadata.allocate_id()
        now_ns = time.time_ns()
        row = Row(
            info=Info(key, parent, kind, now_ns, now_ns, MappingProxyType(kept)),
            snapshot_id=snapshot_id,
            parent_id=parent_row.snapshot_id if parent_row else 0,
            owner=owner,
            driver=self._parts.driver,
            layer_id=snapshot_id,
        )
        with self._reclaimer.in_flight(snapshot_id):
            try:
                # First: a chain that nobody can mount is refused.
                mounts = self._driver(row).mounts(views.stack_of(self._parts, row))
                with disk_errors(f"snapshot {key!r}"):
                    self._directories.place(
                        sidecar_of(row, self._parts.identity.xattr_prefix),
                        with_work=kind is Kind.ACTIVE,
                        fs_owner=fs_owner,
                        is_reserved=reserved_id is not None,
                    )
                self._metadata.create_snapshot(row)
            except Exception:
                # Not where the process is told to stop, in the middle of anything:
                # the row may be there. The next opening sees which it is.
                self._abandon(snapshot_id)
                raise
        return mounts

    def mounts_of(self, row: Row) -> list[Mount]:
        """Return the mounts of an active snapshot or a view."""
        if row.kind is Kind.COMMITTED:
            raise FailedPreconditionError(
                f"snapshot {row.key!r} is committed, not active or view; prepare or"
                " view a snapshot on it"
            )
        mounts = self._driver(row).mounts(views.stack_of(self._parts, row))
        if not self._metadata.is_current(row):  # then layers below may be gone too
            raise NotFoundError(f"snapshot {row.key!r} does not exist")
        return mounts

    def remove_as(self, key: str, refuse: Callable[[Row], None]) -> None:
        """Remove ``key`` unless ``refuse`` raises for the row that it has then."""
        with self._changing(key) as row:
            refuse(row)
            self._metadata.check_remove(key)
            self._metadata.mark_dirty()
            with self._reclaimer.in_flight(row.snapshot_id, row.layer_id):
                self._metadata.remove(key)
                self._discard(row)

    def commit_as(
        self, name: str, key: str, labels: Mapping[str, str], parent: str
    ) -> None:
        """Commit a snapshot of any owner, as the contract says."""
        self._metadata.check_commit(name, key, parent)
        kept = checked_labels(labels)
        with self._changing(key):
            old, parent_row = self._metadata.check_commit(name, key, parent)
            if parent_row is not None:
                self._refuse_too_long(old, parent_row)
            if self._parts.durability is not Durability.NONE:
                self._sync_data(old)
            new = committed_row(
                old,
                name,
                MappingProxyType(kept),
                parent_row,
                time.time_ns(),
                self._parts.durability,
            )
            with self._recorded(old, new):
                self._metadata.commit(old, new)

    # -- parts of verbs --------------------------------------------------------

    @contextlib.contextmanager
    def _changing(self, key: str) -> Iterator[Row]:
        """Hold the lock of the snapshot ``key``; yield its row as it is then."""
        with self._gate.open():
            while True:
                row = self._metadata.get(key)
                with self._stripes[row.snapshot_id % _LOCK_STRIPES]:
                    if self._metadata.find(key) is row:
                        yield row
                        return
                # It changed while we waited for the lock: look again.

    @contextlib.contextmanager
    def _holding(self, row: Row) -> Iterator[bool]:
        """Hold the lock of a snapshot; yield whether ``row`` is current still."""
        with self._stripes[row.snapshot_id % _LOCK_STRIPES]:
            yield self._metadata.find(row.key) is row

    @contextlib.contextmanager
    def _recorded(self, old: Row, new: Row) -> Iterator[None]:
        """Write the sidecar before the row changes; undo it if that fails."""
        prefix = self._parts.identity.xattr_prefix
        directory = self._paths.directory(old.snapshot_id)
        self._metadata.mark_dirty()
        try:
            # A failure does not say how much of it was written.
            with disk_errors(f"snapshot {old.key!r}"):
                append_sidecar(directory, sidecar_of(new, prefix))
            yield
        except BaseException:
            self._metadata.require_recovery()
            if self._metadata.find(old.key) is old:
                with contextlib.suppress(OSError):  # the next opening mends it
                    append_sidecar(directory, sidecar_of(old, prefix))
            raise

    def _driver(self, row: Row) -> Driver:
        driver = self._parts.drivers.get(row.driver)
        if driver is None:
            raise UnavailableError(
                f"snapshot {row.key!r} was prepared with the driver {row.driver!r},"
                " which this host does not have; run `snapfs doctor`"
            )
        return driver

    def _owner_of(self, parent: Row | None) -> tuple[int, int] | None:
        """The root directory of a snapshot belongs to whom its parent's does."""
        if parent is None:
            return None
        try:
            with disk_errors(f"parent snapshot {parent.key!r}"):
                status = os.stat(self._paths.fs(parent.layer_id))
        except DataLossError as error:
            if self._metadata.is_current(parent):
                raise
            raise NotFoundError(
                f"parent snapshot {parent.key!r} does not exist"
            ) from error
        return status.st_uid, status.st_gid

    def _sync_data(self, row: Row) -> None:
        """Put the content of a snapshot on disk, however much was written where.

        syncfs(2) covers files whose descriptors are closed long since; a walk that
        syncs each file would cost more the larger the layer is.
        """
        fs = self._paths.fs(row.layer_id)
        with disk_errors(f"snapshot {row.key!r}"), open_directory(fs) as descriptor:
            syncfs(descriptor)

    def _refuse_too_long(self, row: Row, parent: Row) -> None:
        """Refuse a rebase onto a chain that nobody could mount afterwards."""
        self._driver(row).mounts(views.stack_on(self._parts, row, parent))

    def _discard(self, row: Row) -> None:
        """Put the directories that only the removed ``row`` needed into the trash.

        Never fails: the row is gone, and so the snapshot is to the caller. What stays
        is found again as a directory without a row.
        """
        try:
            for number in {row.snapshot_id, row.layer_id}:
                if not self._metadata.is_needed(number):
                    self._directories.discard(number)
        except OSError as error:
            _log.warning("directory of removed %r stays: %s", row.key, error)
        self.cleanup()

    def _abandon(self, snapshot_id: int) -> None:
        """Undo a creation that failed, wherever it did."""
        try:
            self._directories.abandon(snapshot_id)
        except OSError as error:
            _log.warning("directory %d stays: %s", snapshot_id, error)
        self.cleanup()


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
