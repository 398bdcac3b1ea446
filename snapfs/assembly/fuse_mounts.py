"""The FUSE mounts of this host that are ours, and what their servers have done."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Final

from snapfs import mountinfo
from snapfs.errors import SnapfsError
from snapfs.fuse.control import read_statistics
from snapfs.service.metrics import FuseMount

_log: Final = logging.getLogger(__name__)

_TYPE: Final = "fuse.snapfs-fuse"


def live_fuse_mounts() -> Iterator[FuseMount]:
    """Yield each mount that this process can see and whose server answers."""
    devices = set()
    for entry in mountinfo.read():
        if entry.type != _TYPE or entry.device in devices:
            continue  # another sight of the same filesystem is no further mount
        devices.add(entry.device)
        try:
            statistics = read_statistics(entry.device)
        except SnapfsError as error:
            _log.debug("no numbers of the mount at %s: %s", entry.target, error)
        else:
            yield FuseMount(entry.target, statistics)
