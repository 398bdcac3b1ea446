"""Whether an overlay writes to a directory, in any namespace: the kernel is asked."""

from __future__ import annotations

import errno

from snapfs import syscalls
from snapfs.kernel_overlay.context import overlay_context


def is_upper_in_use(directory: str) -> bool:
    """Tell whether an overlay has ``directory`` for its upperdir.

    One of another mount namespace counts, and one that was unmounted lazily and still
    has an open file. Nothing is mounted, and nothing written: overlayfs first locks
    the upperdir, and under ``index=on`` answers EBUSY where that is locked already
    (``ovl_get_upper`` in ``fs/overlayfs/super.c``); next it refuses a workdir that is
    the upperdir itself, by EINVAL (``ovl_workdir_ok``). Any other answer is taken for
    a yes: nobody knows.

    Raises:
        OSError: The kernel lets this process ask nothing, as an ordinary user.
    """
    with overlay_context() as fd:
        try:
            syscalls.fsconfig_string(fd, "lowerdir", "/")
            syscalls.fsconfig_string(fd, "upperdir", directory)
            syscalls.fsconfig_string(fd, "workdir", directory)
            syscalls.fsconfig_string(fd, "index", "on")
        except OSError:
            return True
        try:
            syscalls.fsconfig_create(fd)
        except OSError as error:
            return error.errno != errno.EINVAL
        return True
