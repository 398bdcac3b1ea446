"""The flag words of the protocol; values of ``include/uapi/linux/fuse.h``, 7.45.

An operation on an ``IntFlag`` costs a microsecond: code that runs for each request
binds the plain integer first (``int(OpenFlag.KEEP_CACHE)``).
"""

from __future__ import annotations

from snapfs.fuse.wire.named import IntFlag
from snapfs.light_typing import Final


class InitFlag(IntFlag):
    """What both sides can do; bits 32 and up travel in ``flags2``."""

    ASYNC_READ = 1 << 0
    POSIX_LOCKS = 1 << 1
    FILE_OPS = 1 << 2
    ATOMIC_O_TRUNC = 1 << 3
    EXPORT_SUPPORT = 1 << 4
    BIG_WRITES = 1 << 5
    DONT_MASK = 1 << 6
    SPLICE_WRITE = 1 << 7
    SPLICE_MOVE = 1 << 8
    SPLICE_READ = 1 << 9
    FLOCK_LOCKS = 1 << 10
    HAS_IOCTL_DIR = 1 << 11
    AUTO_INVAL_DATA = 1 << 12
    DO_READDIRPLUS = 1 << 13
    READDIRPLUS_AUTO = 1 << 14
    ASYNC_DIO = 1 << 15
    WRITEBACK_CACHE = 1 << 16
    NO_OPEN_SUPPORT = 1 << 17
    PARALLEL_DIROPS = 1 << 18
    HANDLE_KILLPRIV = 1 << 19
    POSIX_ACL = 1 << 20
    ABORT_ERROR = 1 << 21
    MAX_PAGES = 1 << 22
    CACHE_SYMLINKS = 1 << 23
    NO_OPENDIR_SUPPORT = 1 << 24
    EXPLICIT_INVAL_DATA = 1 << 25
    MAP_ALIGNMENT = 1 << 26
    SUBMOUNTS = 1 << 27
    HANDLE_KILLPRIV_V2 = 1 << 28
    SETXATTR_EXT = 1 << 29
    INIT_EXT = 1 << 30
    INIT_RESERVED = 1 << 31
    SECURITY_CTX = 1 << 32
    HAS_INODE_DAX = 1 << 33
    CREATE_SUPP_GROUP = 1 << 34
    HAS_EXPIRE_ONLY = 1 << 35
    DIRECT_IO_ALLOW_MMAP = 1 << 36
    PASSTHROUGH = 1 << 37
    NO_EXPORT_SUPPORT = 1 << 38
    HAS_RESEND = 1 << 39
    ALLOW_IDMAP = 1 << 40
    OVER_IO_URING = 1 << 41
    REQUEST_TIMEOUT = 1 << 42


class OpenFlag(IntFlag):
    """``FOPEN_*``: how the kernel treats what was opened (``open_flags``)."""

    DIRECT_IO = 1 << 0
    KEEP_CACHE = 1 << 1
    NONSEEKABLE = 1 << 2
    CACHE_DIR = 1 << 3
    STREAM = 1 << 4
    NOFLUSH = 1 << 5
    PARALLEL_DIRECT_WRITES = 1 << 6
    PASSTHROUGH = 1 << 7


class OpenInFlag(IntFlag):
    """``FUSE_OPEN_*``: in the ``open_flags`` that OPEN and CREATE bring."""

    KILL_SUIDGID = 1 << 0


class SetattrValid(IntFlag):
    """``FATTR_*``: which fields of SETATTR are to be set."""

    MODE = 1 << 0
    UID = 1 << 1
    GID = 1 << 2
    SIZE = 1 << 3
    ATIME = 1 << 4
    MTIME = 1 << 5
    FH = 1 << 6
    ATIME_NOW = 1 << 7
    MTIME_NOW = 1 << 8
    LOCKOWNER = 1 << 9
    CTIME = 1 << 10
    KILL_SUIDGID = 1 << 11


class WriteFlag(IntFlag):
    """``FUSE_WRITE_*``: the ``write_flags`` of WRITE."""

    CACHE = 1 << 0
    LOCKOWNER = 1 << 1
    KILL_SUIDGID = 1 << 2


class FsyncFlag(IntFlag):
    """``FUSE_FSYNC_*``: the ``fsync_flags`` of FSYNC and FSYNCDIR."""

    FDATASYNC = 1 << 0


class SetxattrFlag(IntFlag):
    """``FUSE_SETXATTR_*``: in ``setxattr_flags``, where SETXATTR_EXT is agreed."""

    ACL_KILL_SGID = 1 << 0


class InvalEntryFlag(IntFlag):
    """``FUSE_EXPIRE_ONLY``: the ``flags`` of the notification INVAL_ENTRY."""

    EXPIRE_ONLY = 1 << 0


UNIQUE_RESEND: Final = 1 << 63
"""Set in the ``unique`` of a request that NOTIFY_RESEND brought once more."""

ROOT_ID: Final = 1
"""The node id of the root, which the kernel knows without a LOOKUP."""
