"""Snapshot directories: staged, published by one rename, discarded by another.

Order matters and is the reason for each sync here (``docs/on-disk.md``, "Crash
order"): a directory is complete and on disk before its row exists, and its row is
gone before it is touched.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Mapping, Sequence

from snapfs.errors import NotFoundError
from snapfs.light_typing import TYPE_CHECKING, Final, Protocol
from snapfs.model import Usage
from snapfs.state.content import make_content_directories
from snapfs.state.fsio import open_directory, sync_directory, sync_file
from snapfs.state.paths import SIDECAR_NAME, StatePaths
from snapfs.syscalls import syncfs

if TYPE_CHECKING:
    from snapfs.state.loop_images import LoopImages
    from snapfs.state.reserve import DirectoryReserve
    from snapfs.state.sidecar import SidecarRecord

_PRIVATE_MODE: Final = 0o700


class SpaceLimiter(Protocol):
    """Limits the space of a snapshot, where a host can."""

    def wants(self, labels: Mapping[str, str]) -> bool:
        """Whether an active snapshot with these labels is limited.

        Raises:
            InvalidArgumentError: A label says something that is no limit.
        """
        ...

    def usage(self, directory: str) -> Usage | None:
        """Return what the content of a snapshot's directory occupies, without a walk.

        None where nobody counts it.
        """
        ...

    def limit(self, directory: str, labels: Mapping[str, str]) -> None:
        """Set the limit that ``labels`` ask for on the new, empty ``directory``.

        Called before ``fs`` and ``work`` exist, so that both inherit a project
        quota: links and renames between directories of different projects fail
        with EXDEV (xfs(5), ext4(5)).

        Raises:
            ResourceExhaustedError: The limit cannot be given.
            FailedPreconditionError: Nor any other on this host.
        """
        ...


class SnapshotDirectories:
    """Makes and discards the numbered directories of one store."""

    def __init__(
        self,
        paths: StatePaths,
        *,
        limiter: SpaceLimiter | None = None,
        images: LoopImages | None = None,
        reserve: DirectoryReserve | None = None,
    ) -> None:
        self._paths = paths
        self._limiter = limiter
        self._images = images
        self._reserve = reserve

    def create_parents(self) -> None:
        """Make the directories that hold the numbered ones; durable on return."""
        for path in (self._paths.snapshots, self._paths.staging, self._paths.trash):
            with contextlib.suppress(FileExistsError):  # made before a crash
                os.mkdir(path, _PRIVATE_MODE)
        sync_directory(self._paths.root)

    def missing_parents(self) -> list[str]:
        """Return which of the directories that hold the numbered ones are gone."""
        parents = (self._paths.snapshots, self._paths.staging, self._paths.trash)
        return [path for path in parents if not os.path.isdir(path)]

    def take_reserved_id(
        self, labels: Mapping[str, str], *, with_work: bool
    ) -> int | None:
        """Return the number of a directory that was made ahead; None for none.

        Raises:
            InvalidArgumentError: As :meth:`SpaceLimiter.wants`.
        """
        if self._reserve is None:
            return None
        # A limit is set before ``fs`` and ``work`` exist; in the reserve they do.
        if with_work and self._limiter is not None and self._limiter.wants(labels):
            return None
        if with_work and self._images is not None and self._images.size(labels):
            return None
        return self._reserve.take()

    def counted_usage(self, snapshot_id: int) -> Usage | None:
        """Return what a snapshot's content occupies, if the kernel counts it."""
        if self._limiter is None:
            return None
        return self._limiter.usage(self._paths.directory(snapshot_id))

    def note_change(self) -> None:
        """Say that a verb changes something: what is made ahead may wait."""
        if self._reserve is not None:
            self._reserve.note_call()

    def place(
        self,
        record: SidecarRecord,
        *,
        with_work: bool,
        fs_owner: tuple[int, int] | None,
        is_reserved: bool = False,
    ) -> None:
        """Make the complete directory of a snapshot, durable on return.

        ``is_reserved``: its number came from :meth:`take_reserved_id`. ``fs_owner``
        is the user and group of the content's root directory; None leaves them to
        the process.

        Raises:
            OSError: As the filesystem says; the caller abandons the directory.
            ResourceExhaustedError: The limiter refuses; likewise.
        """
        if is_reserved and self._reserve is not None:
            if self._reserve.publish(record, with_work=with_work, fs_owner=fs_owner):
                return
            self.discard(self._paths.reserved(record.snapshot_id))
        size = self._images.size(record.labels) if self._images and with_work else 0
        if self._images is not None and size:
            self._images.make(record.snapshot_id, size)
            directory = self._paths.directory(record.snapshot_id)
            self._fill(directory, record, with_work=with_work, fs_owner=fs_owner)
            sync_directory(self._paths.snapshots)
            return
        self.stage(record, with_work=with_work, fs_owner=fs_owner)
        self.publish(record.snapshot_id)

    def attach_images(self, is_needed: Callable[[int], bool]) -> None:
        """Mount what snapshots with an image of their own need, after a restart."""
        if self._images is not None:
            self._images.attach_all(is_needed)

    def abandon(self, snapshot_id: int) -> None:
        """Discard a directory wherever its making stopped."""
        self.discard(self._paths.reserved(snapshot_id))
        self.discard(self._staged(snapshot_id))
        self.discard(self._paths.directory(snapshot_id))

    def settle_reserve(self, is_needed: Callable[[int], bool]) -> None:
        """Put what an earlier process left in the reserve where it belongs.

        A directory whose number has a row was taken, and its rename was lost in a
        crash; every other one is empty and goes.
        """
        for name in self.reserved():
            path = os.path.join(self._paths.reserve, name)
            place = os.path.join(self._paths.snapshots, name)
            if name.isdigit() and is_needed(int(name)) and not os.path.lexists(place):
                os.rename(path, place)
                sync_directory(self._paths.snapshots)
            else:
                self.discard(path)

    def stage(
        self,
        record: SidecarRecord,
        *,
        with_work: bool,
        fs_owner: tuple[int, int] | None,
    ) -> None:
        """Make a complete snapshot directory under ``staging``, on disk on return.

        Arguments and errors are those of :meth:`place`.
        """
        staged = self._staged(record.snapshot_id)
        os.mkdir(staged, _PRIVATE_MODE)
        if self._limiter is not None and with_work:
            self._limiter.limit(staged, record.labels)
        self._fill(staged, record, with_work=with_work, fs_owner=fs_owner)

    def _fill(
        self,
        directory: str,
        record: SidecarRecord,
        *,
        with_work: bool,
        fs_owner: tuple[int, int] | None,
    ) -> None:
        """Make all that a snapshot's directory holds, on disk on return."""
        from snapfs.state.sidecar import create_sidecar  # a mount makes none

        with open_directory(directory) as descriptor:
            make_content_directories(descriptor, with_work=with_work, fs_owner=fs_owner)
            create_sidecar(descriptor, record)
            os.fsync(descriptor)

    def publish(self, snapshot_id: int) -> None:
        """Move a staged directory to its place; durable on return."""
        self.publish_all((snapshot_id,))

    def complete(self, record: SidecarRecord) -> None:
        """Write the sidecar of a directory that somebody else staged and filled.

        Nothing is on disk before :meth:`sync_completed`.

        Raises:
            NotFoundError: There is no staged directory of that number, or it has no
                content though the record says so.
            OSError: As the filesystem says.
        """
        staged = self._staged(record.snapshot_id)
        owns_content = record.layer_id == record.snapshot_id
        if not _is_real_directory(staged) or (
            owns_content and not _is_real_directory(os.path.join(staged, "fs"))
        ):
            raise NotFoundError(f"{record.key!r}: nothing is staged in {staged}")
        from snapfs.state.sidecar import create_unsynced_sidecar

        with open_directory(staged) as descriptor:
            create_unsynced_sidecar(descriptor, record)

    def sync_completed(
        self, snapshot_ids: Sequence[int], *, with_content: bool
    ) -> None:
        """Put completed directories on disk: all that they hold, or sidecars alone."""
        if with_content:
            # Of the filesystem: files whose descriptors are closed long since.
            with open_directory(self._paths.staging) as descriptor:
                syncfs(descriptor)
            return
        for snapshot_id in snapshot_ids:
            staged = self._staged(snapshot_id)
            sync_file(os.path.join(staged, SIDECAR_NAME))
            sync_directory(staged)

    def undo_complete(self, snapshot_id: int) -> None:
        """Put a directory back as it was before it was completed and published."""
        staged, published = (
            self._staged(snapshot_id),
            self._paths.directory(snapshot_id),
        )
        with contextlib.suppress(FileNotFoundError):  # publishing did not come so far
            os.rename(published, staged)
        with contextlib.suppress(FileNotFoundError):  # nor its completion
            os.unlink(os.path.join(staged, SIDECAR_NAME))

    def publish_all(self, snapshot_ids: Sequence[int]) -> None:
        """Move completed directories to their places; durable on return."""
        for snapshot_id in snapshot_ids:
            os.rename(self._staged(snapshot_id), self._paths.directory(snapshot_id))
        sync_directory(self._paths.snapshots)

    def discard(self, path: str) -> None:
        """Move a directory into the trash; nothing happens if it is gone.

        No sync: if the rename is lost in a crash, the directory is found again as
        one that has no row.
        """
        parent, name = os.path.split(path)
        if self._images and parent == self._paths.snapshots and name.isdigit():
            self._images.drop(int(name))  # a mount point cannot be renamed
        # A name in the trash is never taken: numbers are not reused, and what else
        # comes here gets a number behind its name.
        target = os.path.join(self._paths.trash, os.path.basename(path))
        for attempt in range(1, 1000):
            try:
                os.rename(path, target)
            except FileNotFoundError:
                return  # somebody else was faster; the outcome is the same
            except OSError:
                if not os.path.lexists(target):
                    raise
                target = f"{self._paths.trash}/{os.path.basename(path)}.{attempt}"
            else:
                return

    def published(self) -> list[str]:
        """Return the names under ``snapshots``, whatever they are."""
        return os.listdir(self._paths.snapshots)

    def staged(self) -> list[str]:
        """Return the names under ``staging``."""
        return os.listdir(self._paths.staging)

    def reserved(self) -> list[str]:
        """Return the names in the reserve; it exists once there was one."""
        try:
            return os.listdir(self._paths.reserve)
        except FileNotFoundError:
            return []

    def trash(self) -> list[str]:
        """Return the names that wait in the trash."""
        return os.listdir(self._paths.trash)

    def _staged(self, snapshot_id: int) -> str:
        return os.path.join(self._paths.staging, str(snapshot_id))


def _is_real_directory(path: str) -> bool:
    """Whether ``path`` itself is a directory, not a link to one."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False
