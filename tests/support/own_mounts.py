"""A mount namespace of the test's own.

Whoever makes another mount namespace (a container, say) takes copies of all mounts that
it sees along, and a filesystem whose mount has a copy stays mounted when the test
unmounts it. So a test that mounts the same image again and again must not be seen.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Iterator
from typing import Final

from snapfs import syscalls

_NEWNS: Final = 0x0002_0000  # CLONE_NEWNS

_libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def own_mounts() -> Iterator[None]:
    """Let this thread, and what it starts, mount unseen until the block ends."""
    directory = os.getcwd()
    before = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        syscalls.unshare(_NEWNS)
        subprocess.run(["mount", "--make-rslave", "/"], check=True)
        # Nor may we keep servers of others from ending.
        others = ["umount", "--all", "--lazy", "--types", "fuse.snapfs-fuse"]
        subprocess.run(others, check=False, stderr=subprocess.DEVNULL)
        try:
            yield
        finally:
            if _libc.setns(before, _NEWNS) != 0:
                raise OSError(ctypes.get_errno(), "setns")
            os.chdir(directory)  # setns(2) goes to the root of the namespace
    finally:
        os.close(before)
