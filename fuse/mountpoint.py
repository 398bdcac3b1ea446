"""Where a union may be mounted: never where it would serve itself.

A server that opened a file through its own mount would wait for its own answer. Its
layers are open before the mount, so only a mount point within a layer leads there,
or a layer that whoever restarts the server would look for below the mount.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from snapfs.errors import FailedPreconditionError


def check_mountpoint(mountpoint: bytes, directories: Iterable[bytes]) -> None:
    """Refuse a mount point that is, holds or lies within one of ``directories``.

    Directories are compared by identity, so that bind mounts and symbolic links do
    not hide it.

    Raises:
        FailedPreconditionError: It is such a one, or no directory.
        OSError: One of them cannot be reached.
    """
    if not os.path.isdir(mountpoint):
        os.stat(mountpoint)
        raise FailedPreconditionError(
            f"mount point {os.fsdecode(mountpoint)} is not a directory"
        )
    place, *above = _chain(mountpoint)
    for directory in directories:
        found, *parents = _chain(directory)
        relation = (
            "is"
            if found == place
            else "lies within"
            if found in above
            else "holds"
            if place in parents
            else ""
        )
        if relation:
            raise FailedPreconditionError(
                f"mount point {os.fsdecode(mountpoint)} {relation} the directory"
                f" {os.fsdecode(directory)} of the union; choose another one"
            )


def _chain(path: bytes) -> list[tuple[int, int]]:
    """Return who ``path`` and the directories above it are, nearest first."""
    real = os.path.realpath(path)
    chain = []
    while True:
        status = os.stat(real)
        chain.append((status.st_dev, status.st_ino))
        if real == b"/":
            return chain
        real = os.path.dirname(real)
