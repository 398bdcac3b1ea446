"""Opening a store: owning its root, or talking to the process that does."""

from __future__ import annotations

import os
import time

from snapfs.assembly.owned import OwnedStore, owned_store, refuse_unfit
from snapfs.assembly.root_directory import holds_store, no_store, try_lock
from snapfs.assembly.settings import StoreSettings
from snapfs.errors import (
    FailedPreconditionError,
    PermissionDeniedError,
    UnavailableError,
)
from snapfs.light_typing import TYPE_CHECKING, Final
from snapfs.state import RootLock, StatePaths
from snapfs.values import replace

if TYPE_CHECKING:
    from snapfs.assembly.opened_store import OpenStore

# A burst of container starts takes this many without waiting for a disk; an empty
# directory pair is all that each costs.
_RESERVE_SIZE: Final = 64

_ANSWER_S: Final = 5.0  # an owner that serves says so at once, even a busy one

_POLL_S: Final = 0.02  # how often a lock that another command holds is tried again


def open_store(
    root: str | os.PathLike[str],
    settings: StoreSettings | None = None,
    *,
    driver: str | None = None,
    create: bool = True,
    wait_s: float = 10.0,
) -> OpenStore:
    """Open the store in ``root``; make one if the directory is empty or missing.

    Where another process owns the root and serves it, the result talks to that
    process, and ``settings`` do not apply. Where one owns it without serving (a
    command at work), this waits up to ``wait_s`` seconds for it to finish. With
    ``create=False`` no store is made, nor anything else.

    Raises:
        NotFoundError: There is no store, and ``create`` is False.
        UnavailableError: The root stays in use, or lies on a filesystem that
            cannot hold a store, or the driver does not work here.
        InvalidArgumentError: The directory holds something else, or a setting is
            none.
        FailedPreconditionError: A newer version made the store, or this process
            cannot use its xattr prefix.
        PermissionDeniedError: The directory cannot be written.
        ResourceExhaustedError: The disk is full.
        DataLossError: The store is damaged; the message says what and what to do.
    """
    settings = settings or StoreSettings()
    if driver is not None:
        settings = replace(settings, driver=driver)
    paths = StatePaths(os.path.abspath(root))
    if create:
        refuse_unfit(paths, settings)
    elif not holds_store(paths):
        raise no_store(paths)
    deadline = time.monotonic() + wait_s
    while True:
        try:
            lock = try_lock(paths)
        except PermissionDeniedError:
            # The disk has become read-only, perhaps: its owner can still tell.
            if (remote := _connect(paths.socket)) is not None:
                return remote
            raise
        if isinstance(lock, RootLock):
            return owned_store(paths, lock, settings, create=create)
        remote = _connect(paths.socket)
        if remote is not None:
            return remote
        if time.monotonic() >= deadline:
            raise UnavailableError(
                f"{paths.root} is in use by {lock}, which does not serve it; wait for"
                " it or stop it; under 'snapfs serve' commands work side by side"
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
    refuse_unfit(paths, settings)
    deadline = time.monotonic() + wait_s
    while True:
        lock = try_lock(paths)
        if isinstance(lock, RootLock):
            return owned_store(
                paths, lock, settings, create=True, reserve_size=_RESERVE_SIZE
            )
        served = _connect(paths.socket)
        if served is not None:
            served.close()
        if served is not None or time.monotonic() >= deadline:
            raise FailedPreconditionError(
                f"{paths.root} is owned by {lock}; stop it first, or choose another"
                " --root"
            )
        time.sleep(_POLL_S)


def _connect(socket: str) -> OpenStore | None:
    """Connect to the owner of a root, if it serves."""
    if not os.path.exists(socket):
        return None
    from snapfs.remote import RemoteStore  # here: it is slow to load

    try:
        # Not forever: the owner may be stopped, or too new or old to answer.
        with RemoteStore(socket, timeout_s=_ANSWER_S) as probe:
            probe.status()
    except UnavailableError:
        return None
    return RemoteStore(socket)
