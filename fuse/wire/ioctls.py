"""The ioctl(2) requests of ``/dev/fuse``; ``FUSE_DEV_IOC_*`` of ``linux/fuse.h``.

``fcntl.ioctl`` returns what the kernel returned (a backing id) only for a mutable
buffer: pass a ``bytearray``, not ``bytes``.
"""

from __future__ import annotations

from struct import Struct

from snapfs.light_typing import Final

CLONE: Final = 0x8004E500
"""Join a freshly opened device to a session; takes CLONE_ARGUMENT."""
BACKING_OPEN: Final = 0x4010E501
"""Register a file for passthrough, return its id; takes BACKING_MAP."""
BACKING_CLOSE: Final = 0x4004E502
"""Drop a backing id; takes BACKING_ID."""
SYNC_INIT: Final = 0xE503
"""Before the mount: let it wait for the answer to INIT. No argument."""

CLONE_ARGUMENT: Final = Struct("<I")
"""The descriptor of the session."""
BACKING_MAP: Final = Struct("<iI8x")
"""fd, flags (0)."""
BACKING_ID: Final = Struct("<I")
