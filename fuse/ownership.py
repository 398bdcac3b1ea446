"""Owners that are shown other than they are stored: mappings and squashing.

As fuse-overlayfs(1) has them: a mapping counters that of a user namespace without a
chown of every file; squashing shows, and stores, one owner for everything.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence

from snapfs.fuse.mount_config import IdRange, MountConfig
from snapfs.fuse.union.union import Ownership
from snapfs.light_typing import Final

_OVERFLOW: Final = 65534
"""What the kernel shows for an identity that a namespace does not map."""


class MappedOwnership(Ownership):
    """Owners by ranges, and perhaps one owner or group for all."""

    __slots__ = ("_gid_ranges", "_squash_gid", "_squash_uid", "_uid_ranges")

    is_identity = False

    def __init__(self, config: MountConfig) -> None:
        self._uid_ranges = config.uid_ranges
        self._gid_ranges = config.gid_ranges
        self._squash_uid = config.squash_uid
        self._squash_gid = config.squash_gid

    def shown(self, uid: int, gid: int) -> tuple[int, int]:
        """Return the owner that callers see for one in a layer."""
        return (
            _shown(uid, self._uid_ranges, self._squash_uid),
            _shown(gid, self._gid_ranges, self._squash_gid),
        )

    def stored(self, uid: int, gid: int) -> tuple[int, int]:
        """Return the owner to write to the upper for one that a caller named.

        Raises:
            OSError: EINVAL: no stored identity is shown as this one.
        """
        return (
            _stored(uid, self._uid_ranges, self._squash_uid),
            _stored(gid, self._gid_ranges, self._squash_gid),
        )


def ownership_of(config: MountConfig) -> Ownership:
    """Return how the owners of a mount translate."""
    wishes = (config.squash_uid, config.squash_gid)
    if config.uid_ranges or config.gid_ranges or wishes != (None, None):
        return MappedOwnership(config)
    return Ownership()


def _shown(stored: int, ranges: Sequence[IdRange], squash: int | None) -> int:
    if squash is not None:
        return squash
    for found in ranges:
        distance = stored - found.stored
        if 0 <= distance < found.size:
            return found.shown + distance
    return _OVERFLOW if ranges else stored


def _stored(shown: int, ranges: Sequence[IdRange], squash: int | None) -> int:
    if squash is not None:
        return squash
    for found in ranges:
        distance = shown - found.shown
        if 0 <= distance < found.size:
            return found.stored + distance
    if ranges:
        raise OSError(errno.EINVAL, f"identity {shown} is not mapped here")
    return shown
