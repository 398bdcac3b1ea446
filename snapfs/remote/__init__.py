"""A store that another process serves, behind the same contracts.

:class:`RemoteStore` talks to ``snapfs serve`` over its local socket,
:class:`RemoteSnapshotter` to any proxy snapshotter. Errors arrive as the classes of
``snapfs.errors`` that the store raised.
"""

from snapfs.remote.snapshotter import RemoteSnapshotter
from snapfs.remote.store import RemoteStore

__all__ = ["RemoteSnapshotter", "RemoteStore"]
