"""Producing cache states: what a run finds cached is made so, not assumed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from snapfs.benchmarks.protocols import CacheState, Target
from snapfs.benchmarks.write_back import write_back

_DROP_CACHES: Final = Path("/proc/sys/vm/drop_caches")

# Documentation/admin-guide/sysctl/vm.rst, drop_caches.
_DENTRIES_AND_INODES: Final = "2"
_EVERYTHING: Final = "3"


def unavailable(state: CacheState) -> str:
    """Say why ``state`` cannot be produced here; "" if it can."""
    if state in (CacheState.WARM, CacheState.FRESH_UPPER):
        return ""
    if os.access(_DROP_CACHES, os.W_OK):
        return ""
    return f"{state} caches need root: {_DROP_CACHES} is not writable"


def produce(state: CacheState, target: Target, directory: Path) -> None:
    """Bring the caches into ``state`` before a run of ``target`` on ``directory``.

    Warm caches and fresh upper directories come from the runs themselves.
    """
    if state is CacheState.DCACHE_COLD:
        write_back(directory)  # dirty inodes cannot be dropped
        _DROP_CACHES.write_text(_DENTRIES_AND_INODES)
    elif state is CacheState.COLD:
        target.forget_caches()
        write_back(directory)
        _DROP_CACHES.write_text(_EVERYTHING)
