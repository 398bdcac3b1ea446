"""What a message asks for: the operation codes and the notification codes.

Values are those of ``enum fuse_opcode`` and ``enum fuse_notify_code`` in
``include/uapi/linux/fuse.h``, protocol 7.45 (Linux 6.18).
"""

from __future__ import annotations

from snapfs.fuse.wire.named import IntEnum
from snapfs.light_typing import Final


class Opcode(IntEnum):
    """The operation of a request."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    READLINK = 5
    SYMLINK = 6
    MKNOD = 8
    MKDIR = 9
    UNLINK = 10
    RMDIR = 11
    RENAME = 12
    LINK = 13
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    SETXATTR = 21
    GETXATTR = 22
    LISTXATTR = 23
    REMOVEXATTR = 24
    FLUSH = 25
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    FSYNCDIR = 30
    GETLK = 31
    SETLK = 32
    SETLKW = 33
    ACCESS = 34
    CREATE = 35
    INTERRUPT = 36
    BMAP = 37
    DESTROY = 38
    IOCTL = 39
    POLL = 40
    NOTIFY_REPLY = 41
    BATCH_FORGET = 42
    FALLOCATE = 43
    READDIRPLUS = 44
    RENAME2 = 45
    LSEEK = 46
    COPY_FILE_RANGE = 47
    SETUPMAPPING = 48
    REMOVEMAPPING = 49
    SYNCFS = 50
    TMPFILE = 51
    STATX = 52
    COPY_FILE_RANGE_64 = 53


class NotifyCode(IntEnum):
    """What a message that answers no request tells the kernel."""

    POLL = 1
    INVAL_INODE = 2
    INVAL_ENTRY = 3
    STORE = 4
    RETRIEVE = 5
    DELETE = 6
    RESEND = 7
    INC_EPOCH = 8
    PRUNE = 9


OPCODE_COUNT: Final = max(Opcode) + 1
"""Length of a list that is indexed by operation code."""

UNANSWERED: Final = frozenset(
    {Opcode.FORGET, Opcode.BATCH_FORGET, Opcode.INTERRUPT, Opcode.NOTIFY_REPLY}
)
"""The operations for which the kernel awaits no reply."""


def opcode_name(opcode: int) -> str:
    """Return the name of ``opcode``; its digits if it is of a newer protocol."""
    try:
        return Opcode(opcode).name
    except ValueError:
        return str(opcode)
