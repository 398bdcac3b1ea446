"""Wires the parts: a store for one process, a service, or a connection to one.

One process owns a root. :func:`open_store` takes ownership if nobody has it; else it
talks to the owner over the socket in the root, and the caller cannot tell the
difference: both are a :class:`snapfs.snapshotter.Store`.
"""

from snapfs.assembly.opening import open_store
from snapfs.assembly.settings import DRIVERS, ServeSettings, StoreSettings

__all__ = [
    "DRIVERS",
    "ServeSettings",
    "StoreSettings",
    "open_store",
]
