"""Execute mounts: what ``snapfs mount`` and ``snapfs umount`` do.

Nothing here changes the working directory of the process, and the target is held
open from the first check to the mount, so nobody can exchange it in between.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

from snapfs import mountinfo, syscalls
from snapfs.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
)
from snapfs.kernel_overlay.failures import translate, undo_mount
from snapfs.model import Mount


def mount_all(mounts: Sequence[Mount], target: str) -> None:
    """Mount ``mounts`` in order on ``target``, each on top of the one before.

    All or none: if one fails, those before it are unmounted again.

    Raises:
        NotFoundError: ``target``, or a directory to be mounted, does not exist.
        InvalidArgumentError: ``target`` is no directory, or a mount is neither a
            bind nor an overlay or has options that the kernel refuses.
        PermissionDeniedError: This process may not mount.
        UnavailableError: This kernel lacks overlayfs, or the filesystem of the
            upperdir cannot serve it.
        FailedPreconditionError: A directory is in use by another mount, or the
            overlay came out read-only.
        ResourceExhaustedError: There are too many layers, or they need more mount
            data than the kernel reads.
        SnapfsError: The kernel refused for another reason.
    """
    if not mounts:
        raise InvalidArgumentError("there is nothing to mount")
    done: list[str] = []
    try:
        for mount in mounts:
            where = _mount(mount, target)
            done.append(where)
    except BaseException:
        for where in reversed(done):
            undo_mount(where)
        raise


def _mount(mount: Mount, target: str) -> str:
    """Mount one; return the path on which it lies."""
    fd, where = _open_target(target, mount.target)
    try:
        # Here: most commands mount one of the two.
        if mount.type == "overlay":
            from snapfs.kernel_overlay.overlay import parse
            from snapfs.kernel_overlay.overlay_mount import mount_overlay

            mount_overlay(parse(mount), fd, where)
        elif mount.type == "bind":
            from snapfs.kernel_overlay.bind import mount_bind

            mount_bind(mount, fd, where)
        else:
            raise InvalidArgumentError(
                f"a mount of type {mount.type!r} is not for the kernel driver"
            )
    finally:
        os.close(fd)
    return where


def _open_target(target: str, below: str) -> tuple[int, str]:
    """Open the directory ``below`` within ``target``; return it with its path.

    ``below`` belongs to what is mounted there, which nobody vouches for: it is
    followed one component at a time and through no symbolic link.
    """
    where = os.path.realpath(target)
    fd = _open_directory(where, where, None)
    for name in filter(None, below.split("/")):
        parent, where = fd, os.path.join(where, name)
        try:
            if name == "..":
                raise InvalidArgumentError(f"mount point {below!r} leads upwards")
            fd = _open_directory(name, where, parent)
        finally:
            os.close(parent)
    return fd, where


def _open_directory(name: str, where: str, dir_fd: int | None) -> int:
    flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, flags, dir_fd=dir_fd)
    except FileNotFoundError as error:
        raise NotFoundError(f"mount point {where!r} does not exist") from error
    except NotADirectoryError as error:
        raise InvalidArgumentError(f"mount point {where!r} is no directory") from error
    except OSError as error:
        raise translate(error, f"cannot open mount point {where!r}") from error


def unmount(target: str, *, lazy: bool = False) -> None:
    """Unmount what is on top at ``target``.

    Args:
        target: The mount point.
        lazy: Detach it at once, even while it is in use; the kernel lets go of the
            filesystem when its last user does.

    Raises:
        NotFoundError: Nothing is mounted there.
        FailedPreconditionError: It is in use, or other mounts lie on it.
        PermissionDeniedError: This process may not unmount.
        SnapfsError: The kernel refused for another reason.
    """
    where = os.path.realpath(target)
    flags = syscalls.UMOUNT_NOFOLLOW | (syscalls.MNT_DETACH if lazy else 0)
    try:
        syscalls.umount2(where, flags)
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise NotFoundError(f"nothing is mounted on {where!r}") from error
        if error.errno == errno.EBUSY:
            raise FailedPreconditionError(_why_busy(where)) from error
        raise translate(error, f"cannot unmount {where!r}") from error


def _why_busy(where: str) -> str:
    on_it = [e.target for e in mountinfo.mounts_below(where) if e.target != where]
    if on_it:
        return f"cannot unmount {where!r}: {on_it[-1]!r} is mounted on it"
    return f"cannot unmount {where!r}: it is in use"
