"""Opening a store: owning its root, or talking to the process that does."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Protocol, Self

from snapfs.assembly.settings import DRIVERS, StoreSettings
from snapfs.driver import Driver
from snapfs.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    PermissionDeniedError,
    ResourceExhaustedError,
    UnavailableError,
)
from snapfs.manager import ManagerParts, SnapshotManager
from snapfs.manager.recovery import recover
from snapfs.metadata import MetadataStore
from snapfs.overlay_format import XattrPrefix, fitting_prefix
from snapfs.snapshotter import Store
from snapfs.state import (
    DirectoryReserve,
    LockHolder,
    RootLock,
    SnapshotDirectories,
    StatePaths,
    StoreIdentity,
    open_identity,
)
from snapfs.state.identity import write_identity

# A burst of container starts takes this many without waiting for a disk; an empty
# directory pair is all that each costs.
_RESERVE_SIZE: Final = 32

_POLL_S: Final = 0.02  # how often a lock that another command holds is tried again


class OpenStore(Store, Protocol):
    """A store as :func:`open_store` gives it: closed at the end of ``with``."""

    def __enter__(self) -> Self:
        """Return the store itself."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the store."""
        ...


class OwnedStore(SnapshotManager):
    """The store in the process that owns the root; closing gives the root up."""

    def __init__(
        self,
        parts: ManagerParts,
        lock: RootLock,
        reserve: DirectoryReserve | None = None,
    ) -> None:
        super().__init__(parts)
        self._root_lock = lock
        self._reserve = reserve
        if reserve is not None:
            reserve.start()

    def close(self) -> None:
        """Close the store and let others own the root; a second call does nothing."""
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


def open_store(
    root: str | os.PathLike[str],
    settings: StoreSettings | None = None,
    *,
    driver: str | None = None,
    wait_s: float = 10.0,
) -> OpenStore:
    """Open the store in ``root``; make one if the directory is empty or missing.

    Where another process owns the root and serves it, the result talks to that
    process, and ``settings`` do not apply. Where one owns it without serving (a
    command at work), this waits up to ``wait_s`` seconds for it to finish.

    Raises:
        UnavailableError: The root stays in use, or lies on a filesystem that
            cannot hold a store, or the driver does not work here.
        InvalidArgumentError: The directory holds something else, or a setting is
            none.
        FailedPreconditionError: A newer version made the store, or this process
            cannot use its xattr prefix.
        PermissionDeniedError: The directory cannot be written.
        DataLossError: The store is damaged; the message says what and what to do.
    """
    settings = settings or StoreSettings()
    if driver is not None:
        settings = dataclasses.replace(settings, driver=driver)
    paths = StatePaths(os.path.abspath(root))
    deadline = time.monotonic() + wait_s
    while True:
        lock = _try_lock(paths)
        if isinstance(lock, RootLock):
            return _owned(paths, lock, settings)
        remote = _connect(paths.socket)
        if remote is not None:
            return remote
        if time.monotonic() >= deadline:
            raise UnavailableError(
                f"{paths.root} is in use by {lock}, which does not serve it; wait for"
                " it or stop it"
            )
        time.sleep(_POLL_S)


def own_store(
    root: str | os.PathLike[str], settings: StoreSettings, *, wait_s: float = 10.0
) -> OwnedStore:
    """Open the store in ``root`` as its owner, for a service.

    A command that is just at work there is waited for, up to ``wait_s`` seconds.

    Raises:
        FailedPreconditionError: Another process serves the root, or stays in it.
        SnapfsError: As :func:`open_store`.
    """
    paths = StatePaths(os.path.abspath(root))
    deadline = time.monotonic() + wait_s
    while True:
        lock = _try_lock(paths)
        if isinstance(lock, RootLock):
            return _owned(paths, lock, settings, _RESERVE_SIZE)
        served = _connect(paths.socket)
        if served is not None:
            served.close()
        if served is not None or time.monotonic() >= deadline:
            raise FailedPreconditionError(
                f"{paths.root} is owned by {lock}; stop it first, or choose another"
                " --root"
            )
        time.sleep(_POLL_S)


def _try_lock(paths: StatePaths) -> RootLock | LockHolder:
    try:
        os.makedirs(paths.root, 0o700, exist_ok=True)
        return RootLock.try_acquire(paths.lock)
    except PermissionError as error:
        raise PermissionDeniedError(
            f"{paths.root} cannot be written ({error.strerror}); run as its owner, or"
            " choose another --root"
        ) from error
    except (FileExistsError, NotADirectoryError) as error:
        raise InvalidArgumentError(
            f"{paths.root} is not a directory; choose another --root"
        ) from error
    except OSError as error:
        raise UnavailableError(f"{paths.root} cannot be used: {error}") from error


def _connect(socket: str) -> OpenStore | None:
    """Connect to the owner of a root, if it serves."""
    if not os.path.exists(socket):
        return None
    from snapfs.remote import RemoteStore  # here: gRPC is slow to load

    store = RemoteStore(socket)
    try:
        store.status()
    except UnavailableError:
        store.close()
        return None
    return store


def _owned(
    paths: StatePaths, lock: RootLock, settings: StoreSettings, reserve_size: int = 0
) -> OwnedStore:
    """Open or make the store whose lock this process holds; give it up on errors."""
    try:
        identity, is_new = open_identity(paths, fitting_prefix())
        _check_prefix(paths, identity)
        drivers = _drivers(paths, identity, settings)
        metadata = _open_metadata(paths, identity, is_new=is_new)
        try:
            reserve = None
            if reserve_size:
                reserve = DirectoryReserve(paths, metadata.allocate_id, reserve_size)
            parts = ManagerParts(
                paths=paths,
                identity=identity,
                metadata=metadata,
                directories=SnapshotDirectories(paths, reserve=reserve),
                drivers=drivers,
                driver=_chosen(settings.driver, drivers),
                durability=settings.durability,
            )
            recover(parts)
            return OwnedStore(parts, lock, reserve)
        except BaseException:
            metadata.close()
            raise
    except OSError as error:
        lock.release()
        if isinstance(error, PermissionError):
            raise PermissionDeniedError(f"{paths.root}: {error}") from error
        raise ResourceExhaustedError(f"{paths.root}: {error}") from error
    except BaseException:
        lock.release()
        raise


def _open_metadata(
    paths: StatePaths, identity: StoreIdentity, *, is_new: bool
) -> MetadataStore:
    if not is_new:
        return MetadataStore.open(paths.database, identity.store_id)
    SnapshotDirectories(paths).create_parents()
    metadata = MetadataStore.create(paths.database, identity.store_id)
    write_identity(paths, identity)  # last: what has an identity is complete
    return metadata


def _check_prefix(paths: StatePaths, identity: StoreIdentity) -> None:
    """Refuse a store whose marks this process could neither write nor mount."""
    needs_trusted = identity.xattr_prefix == XattrPrefix.TRUSTED
    if needs_trusted and fitting_prefix() is not XattrPrefix.TRUSTED:
        raise FailedPreconditionError(
            f"store {paths.root} keeps its marks in trusted.* attributes, which need"
            " root outside of user namespaces; run as root, or choose another --root"
        )


def _drivers(
    paths: StatePaths, identity: StoreIdentity, settings: StoreSettings
) -> Mapping[str, Driver]:
    from snapfs.kernel_overlay import OverlayDriver
    from snapfs.kernel_overlay.features import check_storage

    if settings.driver not in DRIVERS:
        raise InvalidArgumentError(
            f"unknown driver {settings.driver!r}; choose one of {', '.join(DRIVERS)}"
        )
    if settings.driver == "fuse":
        raise UnavailableError(
            "the FUSE driver is not part of this version; use --driver kernel"
        )
    check_storage(paths.root, XattrPrefix(identity.xattr_prefix))
    kernel = OverlayDriver(
        xattr_prefix=identity.xattr_prefix,
        mount_options=settings.mount_options,
        remap_ids=settings.remap_ids,
    )
    return {kernel.name: kernel}


def _chosen(wanted: str, drivers: Mapping[str, Driver]) -> str:
    return next(iter(drivers)) if wanted == "auto" else wanted
