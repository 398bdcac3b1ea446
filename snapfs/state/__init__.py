"""The state directory: paths, identity, lock, sidecars, staging and trash.

``docs/on-disk.md`` is the format's specification; this package is its only writer
besides :mod:`snapfs.metadata`, which keeps the database.
"""

from snapfs.state.ballast import Ballast
from snapfs.state.directories import SnapshotDirectories, SpaceLimiter
from snapfs.state.identity import FORMAT_VERSION, StoreIdentity, open_identity
from snapfs.state.lock import LockHolder, RootLock
from snapfs.state.paths import StatePaths

__all__ = [
    "FORMAT_VERSION",
    "Ballast",
    "LockHolder",
    "RootLock",
    "SnapshotDirectories",
    "SpaceLimiter",
    "StatePaths",
    "StoreIdentity",
    "open_identity",
]
