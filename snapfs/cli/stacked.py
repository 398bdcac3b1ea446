"""Directories, highest first, as mounts by the driver that fits."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext

from snapfs.cli.access import Access
from snapfs.cli.mount_plan import MountPlan
from snapfs.cli.session import Session
from snapfs.errors import InvalidArgumentError
from snapfs.light_typing import TYPE_CHECKING
from snapfs.model import Kind, Mount, SnapshotDetails, Stack
from snapfs.overlay_format import XattrPrefix, fitting_prefix, has_sys_admin
from snapfs.values import replace

if TYPE_CHECKING:
    from snapfs.assembly.drivers import DriverChoice
    from snapfs.cli.changes import Changes


def plan_directories(
    session: Session,
    what: str,
    lowerdirs: tuple[str, ...],
    access: Access,
    prefix: XattrPrefix,
) -> MountPlan:
    """Return the mounts of directories that nobody changes themselves.

    Where changes are to go a directory is made for them.

    Raises:
        InvalidArgumentError: Changes must be kept, and nobody says where.
        UnavailableError: No driver works here.
    """
    with changes_of(access, what, lowerdirs[0]) as changes:
        stack = stack_of(lowerdirs, changes)
        choice = _choose(session, access, stack, prefix)
        mounts = local_mounts(choice.name, prefix, stack, access)
    return MountPlan(what, mounts, choice.name, choice.reason, changes)


def changes_of(
    access: Access, what: str, top: str
) -> AbstractContextManager[Changes | None]:
    """Return where the changes of ``what`` go, to be made; of None if it takes none.

    Otherwise as :func:`snapfs.cli.changes.changes_for`.
    """
    if not access.is_writable:
        return nullcontext()
    from snapfs.cli.changes import changes_for  # here: many mounts take none

    return changes_for(access, what, top)


def _choose(
    session: Session, access: Access, stack: Stack, prefix: XattrPrefix
) -> DriverChoice:
    """Return the driver that the user and the rights of who mounts leave.

    Raises:
        InvalidArgumentError: The user wants what the kernel's driver does not have.
        UnavailableError: None works here.
    """
    from snapfs.assembly.drivers import choose_for_stack

    if access.has_provenance:
        if session.driver == "kernel":
            raise InvalidArgumentError(
                "--provenance is told by FUSE mounts only; use --driver fuse"
            )
        choice = choose_for_stack(stack, prefix, "fuse")
        return replace(choice, reason="--provenance is told by FUSE only")
    if session.driver == "auto" and not access.is_local and not has_sys_admin():
        choice = choose_for_stack(stack, prefix, "kernel")
        reason = "chosen by 'auto': in a user namespace of one's own anybody may mount"
        return replace(choice, reason=reason)
    return choose_for_stack(stack, prefix, session.driver)


def stack_of(lowerdirs: tuple[str, ...], changes: Changes | None) -> Stack:
    """Return directories as they are, or as what changes go on top of."""
    if changes is None:
        return Stack(Kind.VIEW, lowerdirs)
    return Stack(Kind.ACTIVE, lowerdirs, changes.upperdir, changes.workdir)


def other_driver(
    session: Session, details: SnapshotDetails, access: Access
) -> DriverChoice | None:
    """Return the driver that serves instead of the recorded mounts, if any.

    The directories are in the format of overlayfs whichever it is. An ordinary user
    mounts nothing but FUSE, not even the one directory of a recorded bind mount.
    """
    is_refused = access.is_local and not has_sys_admin()
    is_asked_for = session.driver not in ("auto", details.driver)
    if not (is_refused or is_asked_for or access.has_provenance):
        return None
    stack = Stack(Kind.VIEW, (details.content, *details.lowerdirs))
    choice = _choose(session, access, stack, fitting_prefix())
    return None if choice.name == details.driver == "kernel" else choice


def active_stack(details: SnapshotDetails) -> Stack:
    """Return the directories of an active snapshot that takes changes itself."""
    work = os.path.join(details.directory, "work")
    return Stack(Kind.ACTIVE, details.lowerdirs, details.content, work)


def local_mounts(
    driver: str, prefix: XattrPrefix, stack: Stack, access: Access
) -> tuple[Mount, ...]:
    """Return the mounts by which this project itself mounts ``stack``."""
    from snapfs.assembly.drivers import known_drivers
    from snapfs.assembly.settings import StoreSettings

    options = ("provenance",) if access.has_provenance else ()
    settings = StoreSettings(driver=driver, mount_options=options)
    return tuple(known_drivers(prefix, settings)[driver].local_mounts(stack))
