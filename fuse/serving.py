"""Mounting a union and keeping it served: what ``snapfs-fuse`` does."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
from collections.abc import Callable
from contextlib import ExitStack

from snapfs.errors import UnavailableError
from snapfs.fuse import handover
from snapfs.fuse.keeper import Keeper
from snapfs.fuse.modes import check_passthrough, wishes_of
from snapfs.fuse.mount_config import MountConfig
from snapfs.fuse.opened import LiveMount, open_union
from snapfs.fuse.recovery import SharedMemory
from snapfs.fuse.session import Connection, MountOptions, initialise, mount
from snapfs.light_typing import Final

_NO_FUSE: Final = (errno.ENOENT, errno.ENODEV, errno.EPERM, errno.EACCES)
_DESCRIPTORS: Final = 1 << 20
"""Open files to ask for; the hard limit may be lower, and is enough then."""


def serve_mount(
    config: MountConfig,
    *,
    on_ready: Callable[[], None],
    say: Callable[[str], None],
) -> bool:
    """Mount the union and have it served until it is unmounted or a signal ends it.

    Everything is opened before the mount, so that nothing here is ever looked for
    through it. ``on_ready`` is called when the mount is live. ``say`` gets a line for
    each death of a server.

    Returns:
        False if the mount had to be given up.

    Raises:
        FailedPreconditionError: The mount point is part of the union, or the workdir
            is not one for this upperdir.
        UnavailableError: This host, or this user, cannot have FUSE mounts; or the
            mode needs what it lacks.
        OSError: From opening a layer, and from mounting.
    """
    _raise_limits()
    with ExitStack() as cleanup:
        union = open_union(config)
        cleanup.callback(union.close)
        connection = _mount(config)
        cleanup.enter_context(connection)
        wishes = wishes_of(config, union.stack)
        negotiated = initialise(connection.fd, wishes)
        if config.mode == "io":
            check_passthrough(connection, negotiated)
        live = LiveMount(union, connection, negotiated)
        keeper = Keeper(live, SharedMemory(), say)
        return _keep(keeper.run(on_ready), connection, cleanup)


def go_on(config: MountConfig, word: str, *, say: Callable[[str], None]) -> bool:
    """Keep a mount whose keeper has become this process; see :mod:`.handover`.

    Returns:
        As :func:`serve_mount`.

    Raises:
        OSError: What was handed over is of another version.
    """
    with ExitStack() as cleanup:
        live, memory = handover.read(config, word)
        cleanup.callback(live.union.close)
        cleanup.enter_context(live.connection)
        is_well = Keeper(live, memory, say).run(lambda: None, is_successor=True)
        return _keep(is_well, live.connection, cleanup)


def _keep(is_well: bool, connection: Connection, cleanup: ExitStack) -> bool:
    if not is_well:
        # It stays mounted, so that nobody writes to what lies below: its users get
        # ENOTCONN from the moment the descriptor is closed.
        connection.close()
        cleanup.pop_all()
    return is_well


def _raise_limits() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    with contextlib.suppress(OSError, ValueError):  # what we have must do then
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _mount(config: MountConfig) -> Connection:
    words = config.mount_words
    is_root = os.geteuid() == 0
    options = MountOptions(
        source=config.source,
        is_read_only=config.is_read_only or config.upperdir is None,
        # Root's mounts serve containers, whose users are others.
        allow_other=is_root or "allow_other" in words,
        nosuid="nosuid" in words,
        nodev="nodev" in words,
        noexec="noexec" in words,
        noatime="noatime" in words,
    )
    try:
        return mount(config.mountpoint, options)
    except OSError as error:
        if error.errno not in _NO_FUSE:
            raise
        name = os.fsdecode(error.filename or config.mountpoint)
        raise UnavailableError(f"cannot mount on {name}: {error.strerror}") from error
