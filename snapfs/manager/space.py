"""Low space: new layers are refused before the disk is full.

A disk that unpacks fill to its last block stops everything else that writes to it.
Refused are only those who would bring much: removals, commits and containers go on.
"""

from __future__ import annotations

import os

from snapfs.errors import ResourceExhaustedError
from snapfs.light_typing import Final

_MOST_BYTES: Final = 1 << 30
_MOST_INODES: Final = 50_000
"""So much is kept free of a large filesystem at most, whatever the percentage."""


class SpaceGuard:
    """Keeps a part of the filesystem free.

    Args:
        path: A directory of the filesystem.
        percent: What of its bytes and inodes is kept free, up to 1 GiB and 50,000
            inodes; 0 for nothing.
    """

    def __init__(self, path: str, percent: int) -> None:
        self._path = path
        self._percent = percent

    def refuse_unpack(self, what: str) -> None:
        """Refuse to begin with a layer where little is left.

        Raises:
            ResourceExhaustedError: The message says what is left, and what to do.
        """
        if not self._percent:
            return
        found = os.statvfs(self._path)
        least = self._least(found.f_blocks * found.f_frsize, _MOST_BYTES)
        free = found.f_bavail * found.f_frsize
        if free < least:
            raise self._refusal(what, f"{free >> 20} MiB", f"{least >> 20} MiB")
        # Filesystems that make inodes as they need them say 0.
        least = self._least(found.f_files, _MOST_INODES)
        if found.f_files and found.f_favail < least:
            raise self._refusal(what, f"{found.f_favail} inodes", f"{least}")

    def _least(self, total: int, most: int) -> int:
        return min(total * self._percent // 100, most)

    def _refusal(self, what: str, free: str, least: str) -> ResourceExhaustedError:
        return ResourceExhaustedError(
            f"{what}: only {free} are free on the filesystem of {self._path}, and"
            f" {least} are kept for what runs; `snapfs cleanup`, remove images or lower"
            " limits.min_free_percent"
        )
