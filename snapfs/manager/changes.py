"""Changes: every verb that alters a snapshot, for whichever owner.

Threading rule. A verb that changes one snapshot holds that snapshot's lock, so that
its directory, its sidecar and its row change together; the metadata store's own lock
is held for its transaction alone.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

from snapfs import values
from snapfs.driver import EXTRACTION_LABEL
from snapfs.errors import DataLossError, NotFoundError, ResourceExhaustedError
from snapfs.light_typing import Final
from snapfs.logs import Log
from snapfs.manager import views
from snapfs.manager.disk_errors import disk_errors
from snapfs.manager.gate import Gate
from snapfs.manager.id_maps import id_maps_of, kept_id_maps
from snapfs.manager.noted_usage import NotedUsage
from snapfs.manager.parts import ManagerParts
from snapfs.manager.reclaim import Reclaimer
from snapfs.manager.sidecars import sidecar_of
from snapfs.manager.update import updated_labels
from snapfs.metadata import Row, committed_row
from snapfs.metadata.labels import checked_labels
from snapfs.model import Durability, Info, Kind, Mount, Owner, Usage
from snapfs.overlay_format import MAX_LOWERDIRS, mapped_root
from snapfs.state import Ballast
from snapfs.state.fsio import open_directory
from snapfs.state.sidecar import append_sidecar
from snapfs.syscalls import syncfs

_log = Log(__name__)

_LOCK_STRIPES: Final = 64  # enough that two snapshots seldom share a lock


class SnapshotChanges:
    """The changing half of a manager; see the module for the locks."""

    def __init__(
        self,
        parts: ManagerParts,
        reclaimer: Reclaimer,
        gate: Gate,
        noted_usage: NotedUsage,
    ) -> None:
        self._parts = parts
        self._metadata = parts.metadata
        self._directories = parts.directories
        self._paths = parts.paths
        self._reclaimer = reclaimer
        self._stripes = [threading.Lock() for _ in range(_LOCK_STRIPES)]
        self._ballast = Ballast(parts.paths)
        self._gate = gate
        self._noted_usage = noted_usage

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
        if EXTRACTION_LABEL in kept:
            self._parts.space.refuse_unpack(f"snapshot {key!r}")
        id_maps = id_maps_of(kept, self._parts.drivers[self._parts.driver])
        host_root = mapped_root(kept) if id_maps is not None else None
        fs_owner = host_root or self._owner_of(parent_row)
        self._metadata.mark_dirty()
        reserved_id = self._directories.take_reserved_id(
            kept, with_work=kind is Kind.ACTIVE
        )
        snapshot_id = reserved_id or self._metadata.allocate_id()
        now_ns = time.time_ns()
        row = Row(
            info=Info(key, parent, kind, now_ns, now_ns, MappingProxyType(kept)),
            snapshot_id=snapshot_id,
            parent_id=parent_row.snapshot_id if parent_row else 0,
            owner=owner,
            driver=self._parts.driver,
            layer_id=snapshot_id,
            id_maps=id_maps,
        )
        with self._reclaimer.in_flight(snapshot_id):
            try:
                # First: a chain that nobody can mount is refused.
                stack = views.stack_of(self._parts, row)
                mounts = self._parts.mounts(row, stack, owner)
                if parent_row and len(stack.lowerdirs) >= MAX_LOWERDIRS:
                    self._refuse_too_long(row, parent_row)
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

    def commit(
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
                self._noted_usage.get(old.snapshot_id),
                kept_id_maps(old, self._parts.drivers.get(old.driver)),
            )
            with self._recorded(old, new):
                self._metadata.commit(old, new)
            self._noted_usage.drop(old.snapshot_id)

    def update(self, info: Info, fieldpaths: Sequence[str] = ()) -> Info:
        """Change labels, as the contract says."""
        with self._changing(info.name) as old:
            labels = updated_labels(old.info, info, fieldpaths)
            new = values.replace(
                old,
                info=values.replace(
                    old.info,
                    labels=MappingProxyType(labels),
                    updated_ns=max(time.time_ns(), old.info.updated_ns),
                ),
                generation=old.generation + 1,
            )
            with self._recorded(old, new):
                self._metadata.replace(old, new)
        return new.info

    def hide_below(self, key: str) -> None:
        """Have an active snapshot show nothing of what lies below it, for good.

        Its children, too: every reader of a chain stops at it.

        Raises:
            NotFoundError: There is no snapshot ``key``.
        """
        with self._changing(key) as old:
            new = values.replace(old, root_opaque=True, generation=old.generation + 1)
            with self._recorded(old, new):
                self._metadata.replace(old, new)

    def remove(self, key: str, refuse: Callable[[Row], None]) -> None:
        """Remove ``key`` unless ``refuse`` raises for the row that it has then."""
        with self._changing(key) as row:
            refuse(row)
            self._metadata.check_remove(key)
            with self._reclaimer.in_flight(row.snapshot_id, row.layer_id):
                try:
                    self._remove_row(key)
                except ResourceExhaustedError:
                    if not self._ballast.drop():
                        raise
                    _log.warning("the disk is full; removing with the ballast's space")
                    self._remove_row(key)
                self._noted_usage.drop(row.snapshot_id)
                self._discard(row)

    def remember_usage(self, row: Row, usage: Usage) -> None:
        """Keep the usage of a committed snapshot, if it is still that snapshot."""
        with contextlib.suppress(NotFoundError), self._changing(row.key) as current:
            if current.snapshot_id == row.snapshot_id:
                self._metadata.set_usage(current, usage)

    def reclaim_soon(self) -> None:
        """Have the trash emptied in the background."""
        try:
            self._reclaimer.start()
        except RuntimeError as error:  # no more threads: the next removal tries again
            _log.warning("the trash is not emptied: %s", error)

    @contextlib.contextmanager
    def _changing(self, key: str) -> Iterator[Row]:
        """Hold the lock of the snapshot ``key``; yield its row as it is then."""
        self._directories.note_change()
        with self._gate.open():
            while True:
                row = self._metadata.get(key)
                with self._stripes[row.snapshot_id % _LOCK_STRIPES]:
                    if self._metadata.find(key) is row:
                        yield row
                        return
                # It changed while we waited for the lock: look again.

    @contextlib.contextmanager
    def holding(self, snapshot_id: int) -> Iterator[Row | None]:
        """Hold the lock of a snapshot; yield its row as it is then, None if gone."""
        with self._stripes[snapshot_id % _LOCK_STRIPES]:
            yield self._metadata.find_directory(snapshot_id)

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
        """Refuse an active snapshot on ``parent`` that nobody could mount read-only.

        To commit it would make a chain that cannot be used, and even a diff of it
        fails: containerd mounts it read-only, with its upperdir as one more lowerdir
        (``readonlyOverlay`` in ``core/mount/mount.go``).
        """
        if row.kind is Kind.VIEW:
            return
        stack = views.stack_on(self._parts, row, parent)
        try:
            self._parts.mounts(row, stack, row.owner)
        except ResourceExhaustedError as error:
            raise ResourceExhaustedError(
                f"snapshot {row.key!r} could be neither compared nor committed: {error}"
            ) from error

    def _remove_row(self, key: str) -> None:
        self._metadata.mark_dirty()
        self._metadata.remove(key)

    def _discard(self, row: Row) -> None:
        """Put the directories that only the removed ``row`` needed into the trash.

        Never fails: the row is gone, and so the snapshot is to the caller. What stays
        is found again as a directory without a row.
        """
        try:
            for number in {row.snapshot_id, row.layer_id}:
                if not self._metadata.is_needed(number):
                    self._directories.discard(self._paths.directory(number))
        except OSError as error:
            _log.warning("directory of removed %r stays: %s", row.key, error)
        self.reclaim_soon()

    def _abandon(self, snapshot_id: int) -> None:
        """Undo a creation that failed, wherever it did."""
        try:
            self._directories.abandon(snapshot_id)
        except OSError as error:
            _log.warning("directory %d stays: %s", snapshot_id, error)
        self.reclaim_soon()
