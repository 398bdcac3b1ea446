"""The store of the process that owns its root: what it is made of."""

from __future__ import annotations

import os
from _thread import allocate_lock
from types import TracebackType

from snapfs.assembly.drivers import choose_for_store, known_drivers
from snapfs.assembly.root_directory import (
    holds_store,
    nearest_directory,
    no_store,
    root_errors,
)
from snapfs.assembly.settings import StoreSettings
from snapfs.driver import EXTRACTION_LABEL
from snapfs.errors import (
    FailedPreconditionError,
    ResourceExhaustedError,
)
from snapfs.light_typing import TYPE_CHECKING, Self
from snapfs.manager import ManagerParts, SnapshotManager
from snapfs.manager.recovery import recover
from snapfs.metadata import MetadataStore
from snapfs.overlay_format import XattrPrefix, fitting_prefix
from snapfs.state import (
    Ballast,
    RootLock,
    SnapshotDirectories,
    StatePaths,
    StoreIdentity,
    open_identity,
)
from snapfs.state.identity import SCRATCH_PREFIX, write_identity
from snapfs.state.quota import QuotaLimiter

if TYPE_CHECKING:
    from snapfs.state.loop_images import LoopImages
    from snapfs.state.reserve import DirectoryReserve


class OwnedStore(SnapshotManager):
    """The store in the process that owns the root; closing gives the root up.

    With a reserve, that of a service, which calls :meth:`continue_recovery` once it
    answers; without one, a recovery is over before the store is there.
    """

    def __init__(
        self,
        parts: ManagerParts,
        lock: RootLock,
        reserve: DirectoryReserve | None = None,
    ) -> None:
        super().__init__(parts)
        self._root_lock = lock
        self._reserve = reserve
        self._closing = allocate_lock()
        if reserve is not None:
            parts.metadata.preallocate_log()
            reserve.start()
        else:
            self.finish_recovery()

    def close(self) -> None:
        """Close the store and let others own the root; a second call does nothing."""
        with self._closing:  # a second caller must not give the root up too early
            try:
                if self._reserve is not None:
                    self._reserve.close()
                super().close()
            finally:
                self._root_lock.release()

    def __enter__(self) -> Self:
        """Return the store itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Finish the removals of this process, then close the store."""
        try:
            self.finish_reclaim()
        finally:
            self.close()


def refuse_unfit(paths: StatePaths, settings: StoreSettings) -> None:
    """Refuse to make a store where there is none and none could work.

    Nothing is left behind. Where there is a store, nothing is checked: it is when it
    is opened.

    Raises:
        SnapfsError: As :func:`snapfs.assembly.open_store`.
    """
    if holds_store(paths):
        return
    directory = nearest_directory(paths.root)
    if os.path.isdir(directory):  # else making the root fails, and says why
        prefix = fitting_prefix()
        known_drivers(prefix, settings)
        chosen = choose_for_store(directory, prefix, settings.driver)
        if settings.max_size:
            _limiter(StatePaths(directory), settings, chosen.name)
            _images(StatePaths(directory), settings, chosen.name)


def owned_store(
    paths: StatePaths,
    lock: RootLock,
    settings: StoreSettings,
    *,
    create: bool,
    reserve_size: int = 0,
) -> OwnedStore:
    """Open or make the store whose lock this process holds; give it up on errors.

    Raises:
        SnapfsError: As :func:`snapfs.assembly.open_store`.
    """
    try:
        with root_errors(paths):
            return _opened(paths, lock, settings, create, reserve_size)
    except BaseException:
        lock.release()
        raise


def _opened(
    paths: StatePaths,
    lock: RootLock,
    settings: StoreSettings,
    create: bool,
    reserve_size: int,
) -> OwnedStore:
    identity, is_new = open_identity(paths, fitting_prefix())
    if is_new and not create:
        raise no_store(paths)
    _check_prefix(paths, identity)
    prefix = XattrPrefix(identity.xattr_prefix)
    drivers = known_drivers(prefix, settings)
    chosen = choose_for_store(paths.root, prefix, settings.driver)
    if is_new:
        metadata = _make_metadata(paths, identity)
    else:
        # Not for who comes to make something: that would only fill the disk more.
        may_drop_ballast = not create or reserve_size > 0
        metadata = _open_metadata(paths, identity, may_drop_ballast=may_drop_ballast)
    try:
        reserve = None
        if reserve_size:
            from snapfs.state.reserve import DirectoryReserve  # a service has one

            reserve = DirectoryReserve(paths, metadata.allocate_id, reserve_size)
        parts = ManagerParts(
            paths=paths,
            identity=identity,
            metadata=metadata,
            directories=SnapshotDirectories(
                paths,
                limiter=_limiter(paths, settings, chosen.name),
                images=_images(paths, settings, chosen.name),
                reserve=reserve,
            ),
            drivers=drivers,
            driver=chosen.name,
            durability=settings.durability,
            min_free_percent=settings.min_free_percent,
        )
        recover(parts)
        _remove_scratch(paths)
        return OwnedStore(parts, lock, reserve)
    except BaseException:
        metadata.close()
        raise


def _limiter(
    paths: StatePaths, settings: StoreSettings, driver: str
) -> QuotaLimiter | None:
    """Return what limits the space of new snapshots; a FUSE server does it itself.

    Raises:
        FailedPreconditionError: All are to be limited, and none can be.
    """
    if driver == "fuse" or settings.limit_backend == "loop":
        return None
    limiter = QuotaLimiter(paths.root, settings.max_size, EXTRACTION_LABEL)
    if settings.max_size and not limiter.has_quotas:
        raise FailedPreconditionError(
            f"limits.max_size: {paths.root} has no project quotas; mount its filesystem"
            " with prjquota, or serve with --driver fuse, which counts by itself"
        )
    return limiter


def _images(
    paths: StatePaths, settings: StoreSettings, driver: str
) -> LoopImages | None:
    """Return the images of a store that makes, or has made, such.

    Raises:
        UnavailableError: They are wanted, and this host cannot have them.
    """
    is_wanted = settings.limit_backend == "loop" and driver == "kernel"
    if not is_wanted and not os.path.isdir(paths.images):
        return None
    from snapfs.state.loop_images import LoopImages  # few stores have any

    default = settings.max_size if is_wanted else 0
    return LoopImages(paths, default, EXTRACTION_LABEL, makes_new=is_wanted)


def _remove_scratch(paths: StatePaths) -> None:
    """Remove what probes and sockets left when they were killed."""
    for name in os.listdir(paths.root):
        if name.startswith(SCRATCH_PREFIX):
            import shutil  # there seldom is any

            # Where it stays, it is empty and harms nobody.
            shutil.rmtree(os.path.join(paths.root, name), ignore_errors=True)


def _open_metadata(
    paths: StatePaths, identity: StoreIdentity, *, may_drop_ballast: bool
) -> MetadataStore:
    try:
        return MetadataStore.open(paths.database, identity.store_id)
    except ResourceExhaustedError:
        # SQLite needs some blocks to open a database; without it nothing can go.
        if not (may_drop_ballast and Ballast(paths).drop()):
            raise
    return MetadataStore.open(paths.database, identity.store_id)


def _make_metadata(paths: StatePaths, identity: StoreIdentity) -> MetadataStore:
    SnapshotDirectories(paths).create_parents()
    metadata = MetadataStore.create(paths.database, identity.store_id)
    try:
        write_identity(paths, identity)  # last: what has an identity is complete
    except BaseException:
        metadata.close()
        raise
    return metadata


def _check_prefix(paths: StatePaths, identity: StoreIdentity) -> None:
    """Refuse a store whose marks this process could neither write nor mount."""
    needs_trusted = identity.xattr_prefix == XattrPrefix.TRUSTED
    if needs_trusted and fitting_prefix() is not XattrPrefix.TRUSTED:
        raise FailedPreconditionError(
            f"store {paths.root} keeps its marks in trusted.* attributes, which need"
            " root outside of user namespaces; run as root, or choose another --root"
        )
