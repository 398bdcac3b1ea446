"""The modes of a mount: what is asked of the kernel for each.

``fast`` makes opens free; ``io`` has the kernel read and write the layers' files by
itself. A connection has the one or the other: a kernel that was told once that opening
is not served never opens anything again. ``auto`` is ``fast``, which needs no
privilege and is the faster one for all but large files that are read once or mapped.
"""

from __future__ import annotations

import os

from snapfs.errors import UnavailableError
from snapfs.fuse.operations.opens import register, unregister
from snapfs.fuse.wire import FAST_FLAGS, PASSTHROUGH_FLAGS, InitFlag, Wishes
from snapfs.light_typing import TYPE_CHECKING, Final
from snapfs.syscalls import statfs_type

if TYPE_CHECKING:
    from snapfs.fuse.mount_config import MountConfig
    from snapfs.fuse.session import Connection
    from snapfs.fuse.union.layers import LayerStack
    from snapfs.fuse.wire import Negotiated

# Filesystems that lie on others (linux/magic.h): overlayfs, ecryptfs, FUSE.
_STACKED: Final = frozenset((0x794C7630, 0xF15F, 0x65735546))


def wishes_of(config: MountConfig, stack: LayerStack) -> Wishes:
    """Return what to ask of the kernel for a mount."""
    depth = 0
    flags = FAST_FLAGS
    if config.mode == "io":
        flags = PASSTHROUGH_FLAGS
        depth = _depth(stack)
    if config.has_acls and config.has_xattrs:
        flags |= InitFlag.POSIX_ACL
    return Wishes(flags=flags, max_write=config.max_write, max_stack_depth=depth)


def _depth(stack: LayerStack) -> int:
    """Return how deep the mount's files may lie: 1, or 2 above a stacked layer.

    Not 2 for all: nothing could be stacked on the mount then (``FILESYSTEM_MAX_STACK
    _DEPTH`` is 2).
    """
    is_stacked = any(statfs_type(layer.root_fd) in _STACKED for layer in stack.layers)
    return 2 if is_stacked else 1


def check_passthrough(connection: Connection, negotiated: Negotiated) -> None:
    """Check that a mount of the mode ``io`` can be had.

    The kernel offers passthrough to all, and refuses it at the first file to those who
    lack a capability; so it is tried here.

    Raises:
        UnavailableError: There is no passthrough for this process, and why.
    """
    if not negotiated.has(InitFlag.PASSTHROUGH):
        raise UnavailableError("mode=io needs FUSE passthrough (Linux 6.9)")
    fd = os.memfd_create("snapfs-probe", os.MFD_CLOEXEC)
    try:
        unregister(connection.fd, register(connection.fd, fd))
    except OSError as error:
        raise UnavailableError(
            f"mode=io needs CAP_SYS_ADMIN in the initial user namespace:"
            f" {error.strerror}; use mode=fast"
        ) from error
    finally:
        os.close(fd)
