"""Whether somebody still writes to an upperdir: both drivers' mounts are looked for."""

from __future__ import annotations

import contextlib
import fcntl
import os

from snapfs import mountinfo


def is_upper_used(upperdir: str, workdir: str) -> bool:
    """Tell whether a mount of either driver may write to ``upperdir``.

    The kernel knows of all its overlays, and our FUSE server locks its workdir for as
    long as it lives. An ordinary user, whom the kernel tells nothing, looks into the
    mount tables of those processes that are the user's own: only they can be in a
    namespace where the user could mount an overlay. In doubt it is yes.
    """
    if not os.path.isdir(upperdir):
        return False  # its maker was killed before there was anything to mount
    if _is_locked(workdir):
        return True
    from snapfs.kernel_overlay.upper_in_use import is_upper_in_use

    try:
        return is_upper_in_use(upperdir)
    except OSError:  # not ours to ask, or no overlayfs
        return _is_in_a_mount_table(upperdir)


def _is_locked(workdir: str) -> bool:
    try:
        fd = os.open(workdir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _is_in_a_mount_table(upperdir: str) -> bool:
    seen = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        # Of others, or gone.
        with contextlib.suppress(OSError):
            namespace = os.readlink(f"/proc/{pid}/ns/mnt")
            if namespace in seen:
                continue
            table = mountinfo.read(f"/proc/{pid}/mountinfo")
            seen.add(namespace)
            if any(f"upperdir={upperdir}" in each.super_options for each in table):
                return True
    return False
