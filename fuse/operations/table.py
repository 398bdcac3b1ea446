"""The handlers of a mount in the order in which the session looks for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from snapfs.fuse.operations.attributes import AttributeOperations
from snapfs.fuse.operations.context import EROFS, Context
from snapfs.fuse.operations.creation import CreationOperations
from snapfs.fuse.operations.data import DataOperations
from snapfs.fuse.operations.filesystem import FilesystemOperations
from snapfs.fuse.operations.inode_flags import InodeFlagOperations
from snapfs.fuse.operations.listing import ListingOperations
from snapfs.fuse.operations.names import NameOperations
from snapfs.fuse.operations.opening import OpeningOperations
from snapfs.fuse.operations.removal import RemovalOperations
from snapfs.fuse.operations.xattrs import XattrOperations
from snapfs.fuse.session import Handler, Reply, Request
from snapfs.fuse.wire import OPCODE_COUNT, Opcode
from snapfs.light_typing import Final

_CHANGING: Final = (
    Opcode.MKNOD,
    Opcode.MKDIR,
    Opcode.SYMLINK,
    Opcode.LINK,
    Opcode.TMPFILE,
    Opcode.UNLINK,
    Opcode.RMDIR,
    Opcode.RENAME,
    Opcode.RENAME2,
    Opcode.WRITE,
    Opcode.FALLOCATE,
    Opcode.SETXATTR,
    Opcode.REMOVEXATTR,
)
"""What a read-only mount refuses, should the kernel's own flag be taken away."""


def handlers_of(context: Context) -> Sequence[Handler | None]:
    """Return the handlers of a mount, indexed by opcode.

    What is missing is answered ENOSYS, and that is meant: OPEN and OPENDIR then cost
    no message any more, CREATE becomes MKNOD, FLUSH and FSYNC of a volatile mount
    succeed unasked, locks stay in the kernel.
    """
    table: list[Handler | None] = [None] * OPCODE_COUNT
    for handlers in _topics(context):
        for opcode, handler in handlers.items():
            table[opcode] = handler
    return table


def _topics(context: Context) -> list[Mapping[Opcode, Handler]]:
    topics = [
        NameOperations(context).handlers(),
        AttributeOperations(context).handlers(),
        ListingOperations(context).handlers(),
        DataOperations(context).handlers(),
        XattrOperations(context).handlers(),
        FilesystemOperations(context).handlers(),
        InodeFlagOperations(context).handlers(),
    ]
    if context.is_read_only:
        topics.append(dict.fromkeys(_CHANGING, _read_only))
    else:
        topics.append(CreationOperations(context).handlers())
        topics.append(RemovalOperations(context).handlers())
    if context.opens is not None:
        topics.append(OpeningOperations(context, context.opens).handlers())
    return topics


def _read_only(_request: Request) -> Reply:
    return EROFS
