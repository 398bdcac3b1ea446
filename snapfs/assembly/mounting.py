"""Execute mounts of whichever driver wrote them down."""

from __future__ import annotations

import os
from collections.abc import Sequence

from snapfs import mountinfo
from snapfs.model import Mount


def mount_all(mounts: Sequence[Mount], target: str) -> None:
    """Mount ``mounts`` in order on ``target``; all or none.

    Raises:
        SnapfsError: As :func:`snapfs.kernel_overlay.mounting.mount_all`, or
            :func:`snapfs.fuse.mounting.mount_union` for a union.
    """
    if len(mounts) == 1 and mounts[0].type.startswith(("fuse3.", "fuse.")):
        from snapfs.fuse.mounting import mount_union

        mount_union(mounts[0], os.path.realpath(target))
    else:
        from snapfs.kernel_overlay.mounting import mount_all as mount_by_kernel

        mount_by_kernel(mounts, target)


def unmount(target: str, *, lazy: bool = False) -> None:
    """Unmount what is on top at ``target``.

    Args:
        target: The mount point.
        lazy: Detach it at once, even while it is in use.

    Raises:
        SnapfsError: As :func:`snapfs.kernel_overlay.mounting.unmount`.
    """
    entry = mountinfo.find(target)
    if entry is not None and entry.type.startswith("fuse."):
        from snapfs.fuse.mounting import unmount_union

        unmount_union(os.path.realpath(target), lazy=lazy)
    else:
        from snapfs.kernel_overlay.mounting import unmount as unmount_by_kernel

        unmount_by_kernel(target, lazy=lazy)
