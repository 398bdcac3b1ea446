"""snapfs: copy-on-write snapshots for containers.

``with snapfs.open_store(root) as store:`` gives a :class:`~snapfs.snapshotter.Store`
without a daemon; see ``docs/architecture.md`` for what lies where.

Public names load on first use (PEP 562): a process that serves one FUSE mount must
not pay for SQLite, gRPC or the command line.
"""

from __future__ import annotations

from snapfs.light_typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from snapfs.assembly import open_store
    from snapfs.errors import SnapfsError
    from snapfs.model import Durability, Info, Kind, Mount, Owner, Usage
    from snapfs.snapshotter import Snapshotter, Store

__version__: Final = "0.1.0"

_HOME: Final = {
    "Durability": "snapfs.model",
    "Info": "snapfs.model",
    "Kind": "snapfs.model",
    "Mount": "snapfs.model",
    "Owner": "snapfs.model",
    "SnapfsError": "snapfs.errors",
    "Snapshotter": "snapfs.snapshotter",
    "Store": "snapfs.snapshotter",
    "Usage": "snapfs.model",
    "open_store": "snapfs.assembly",
}

__all__ = [
    "Durability",
    "Info",
    "Kind",
    "Mount",
    "Owner",
    "SnapfsError",
    "Snapshotter",
    "Store",
    "Usage",
    "__version__",
    "open_store",
]


def __getattr__(name: str) -> object:
    """Load a public name from the module that defines it."""
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'snapfs' has no attribute {name!r}")
    import importlib  # most processes ask for none

    return getattr(importlib.import_module(home), name)
