"""What the two sides of a session agree on, from the kernel's INIT alone.

Pure: bytes in, bytes out. The rules are those of ``process_init_reply()`` in
``fs/fuse/inode.c``. The body of INIT has 16 bytes before protocol 7.36 and 64 since;
flags from bit 32 on travel in ``flags2``, which the kernel reads only if the reply
carries INIT_EXT.
"""

from __future__ import annotations

import errno
import os
from struct import Struct

from snapfs.fuse.wire.flags import InitFlag
from snapfs.fuse.wire.structs import INIT_IN, INIT_IN_EXT, INIT_OUT
from snapfs.light_typing import Final, NamedTuple, Self
from snapfs.values import dataclass

MAJOR: Final = 7
MINOR_MAX: Final = 45
MINOR_MIN: Final = 31
"""Linux 5.2: the first with NO_OPENDIR_SUPPORT and EXPLICIT_INVAL_DATA."""

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_LOW: Final = (1 << 32) - 1
_DEFAULT_MAX_PAGES: Final = 32  # FUSE_DEFAULT_MAX_PAGES_PER_REQ, without MAX_PAGES


def _all_of(*flags: InitFlag) -> InitFlag:
    """Return them joined."""
    return InitFlag(sum(map(int, flags)))


# The protocol that brought a flag, from "version" in linux/fuse.h on; those of 7.31
# and before are not listed.
_INTRODUCED: Final = {
    32: InitFlag.SUBMOUNTS,
    33: _all_of(InitFlag.HANDLE_KILLPRIV_V2, InitFlag.SETXATTR_EXT),
    36: _all_of(InitFlag.INIT_EXT, InitFlag.SECURITY_CTX, InitFlag.HAS_INODE_DAX),
    38: _all_of(InitFlag.CREATE_SUPP_GROUP, InitFlag.HAS_EXPIRE_ONLY),
    39: InitFlag.DIRECT_IO_ALLOW_MMAP,
    40: _all_of(InitFlag.PASSTHROUGH, InitFlag.NO_EXPORT_SUPPORT, InitFlag.HAS_RESEND),
    41: InitFlag.ALLOW_IDMAP,
    42: InitFlag.OVER_IO_URING,
    43: InitFlag.REQUEST_TIMEOUT,
}

_COMMON: Final = _all_of(
    InitFlag.ASYNC_READ,
    InitFlag.BIG_WRITES,
    InitFlag.DONT_MASK,
    InitFlag.DO_READDIRPLUS,
    InitFlag.READDIRPLUS_AUTO,
    InitFlag.ASYNC_DIO,
    InitFlag.PARALLEL_DIROPS,
    InitFlag.ABORT_ERROR,
    InitFlag.MAX_PAGES,
    InitFlag.CACHE_SYMLINKS,
    InitFlag.NO_OPENDIR_SUPPORT,
    InitFlag.HANDLE_KILLPRIV_V2,
    InitFlag.SETXATTR_EXT,
    InitFlag.NO_EXPORT_SUPPORT,
    InitFlag.HAS_RESEND,
    InitFlag.HAS_EXPIRE_ONLY,
)
FAST_FLAGS: Final = _all_of(
    _COMMON, InitFlag.NO_OPEN_SUPPORT, InitFlag.EXPLICIT_INVAL_DATA
)
"""For opens that cost no message: never with ATOMIC_O_TRUNC (it would be lost)."""
PASSTHROUGH_FLAGS: Final = _all_of(
    _COMMON, InitFlag.ATOMIC_O_TRUNC, InitFlag.PASSTHROUGH
)
"""For data that the kernel reads and writes itself; wants a ``max_stack_depth``."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the filesystem would like; the kernel may offer less.

    Attributes:
        flags: Asked for where the kernel offers them.
        max_write: Bytes of one WRITE at most, and of one READ with MAX_PAGES.
        max_readahead: Bytes; the bdi's ``read_ahead_kb`` limits it further.
        max_background: Requests that wait for no one (read-ahead, forgotten opens).
        congestion_threshold: From how many of these on the kernel holds back.
        time_gran: Nanoseconds of a time stamp's unit.
        max_stack_depth: Of filesystems below, 1 or 2, for PASSTHROUGH.
        request_timeout: Seconds, for REQUEST_TIMEOUT.
        minor: The newest protocol to speak; lower ones are for tests.
    """

    flags: InitFlag = FAST_FLAGS
    max_write: int = 1 << 20
    max_readahead: int = 1 << 20
    max_background: int = 64
    congestion_threshold: int = 48
    time_gran: int = 1
    max_stack_depth: int = 0
    request_timeout: int = 0
    minor: int = MINOR_MAX


_STATE: Final = Struct("<IQQIIIII")


@dataclass(frozen=True, slots=True)
class Negotiated:
    """What a session has agreed on; to be handed over with its descriptor.

    Attributes:
        minor: Of protocol 7.
        flags: What both sides do.
        offered: All that the kernel could do.
        max_write: Bytes of one WRITE at most.
        max_readahead: Bytes.
        max_pages: Of one request.
        max_stack_depth: 0 without PASSTHROUGH.
        time_gran: Nanoseconds.
    """

    minor: int
    flags: InitFlag
    offered: InitFlag
    max_write: int
    max_readahead: int
    max_pages: int
    max_stack_depth: int
    time_gran: int

    def has(self, flag: InitFlag) -> bool:
        """Say whether every bit of ``flag`` was agreed on."""
        return self.flags & flag == flag

    @property
    def buffer_size(self) -> int:
        """Bytes that a read of the device must offer: a WRITE and its structures.

        The kernel refuses less than ``max_write`` and a page (``fuse_dev_do_read``).
        """
        return self.max_write + (64 << 10)

    def to_bytes(self) -> bytes:
        """Return the state as bytes, for the process that takes the session over."""
        return _STATE.pack(
            self.minor,
            self.flags,
            self.offered,
            self.max_write,
            self.max_readahead,
            self.max_pages,
            self.max_stack_depth,
            self.time_gran,
        )

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Return what :meth:`to_bytes` wrote.

        Raises:
            struct.error: It is not of that size.
        """
        minor, flags, offered, *rest = _STATE.unpack(raw)
        return cls(minor, InitFlag(flags), InitFlag(offered), *rest)


class Agreement(NamedTuple):
    """The outcome of an INIT: the state and the reply's payload that makes it so."""

    negotiated: Negotiated
    reply: bytes


def major_of(body: bytes | memoryview) -> int:
    """Return the major version that an INIT speaks."""
    return int.from_bytes(body[:4], "little")


def downgrade_reply() -> bytes:
    """Return the payload that asks a kernel of a newer major to try again with ours."""
    return INIT_OUT.pack(MAJOR, MINOR_MAX, *[0] * (len(INIT_OUT.unpack(bytes(64))) - 2))


def negotiate(body: bytes | memoryview, wishes: Wishes) -> Agreement:
    """Settle on what the kernel's INIT offers and the filesystem wishes.

    Raises:
        OSError: EPROTO, the kernel speaks another major version or one before 7.31;
            or the INIT is cut off.
    """
    minor, readahead, offered = _read(body, wishes)
    flags = offered & wishes.flags & ~_newer_than(minor)
    passes_through = 0 < wishes.max_stack_depth <= 2
    if not passes_through or flags & InitFlag.WRITEBACK_CACHE:
        flags &= ~InitFlag.PASSTHROUGH  # the kernel would drop it without a word
    if offered & InitFlag.INIT_EXT and minor >= 36:
        flags |= InitFlag.INIT_EXT
    else:
        flags &= InitFlag(_LOW)
    pages = _DEFAULT_MAX_PAGES
    if flags & InitFlag.MAX_PAGES:
        pages = -(-wishes.max_write // _PAGE)
    agreed = Negotiated(
        minor=minor,
        flags=flags,
        offered=offered,
        max_write=min(wishes.max_write, pages * _PAGE),
        max_readahead=max(readahead, wishes.max_readahead),
        max_pages=pages,
        max_stack_depth=wishes.max_stack_depth if flags & InitFlag.PASSTHROUGH else 0,
        time_gran=wishes.time_gran,
    )
    return Agreement(agreed, _reply(agreed, wishes))


def _read(body: bytes | memoryview, wishes: Wishes) -> tuple[int, int, InitFlag]:
    if len(body) < INIT_IN.size:
        raise OSError(errno.EPROTO, f"INIT of {len(body)} bytes")
    major, minor, readahead, low = INIT_IN.unpack_from(body)
    if major != MAJOR or minor < MINOR_MIN:
        text = f"the kernel speaks FUSE {major}.{minor}; needed is 7.{MINOR_MIN}"
        raise OSError(errno.EPROTO, text)
    high = 0
    if low & InitFlag.INIT_EXT and len(body) >= INIT_IN_EXT.size:
        high = INIT_IN_EXT.unpack_from(body)[4]
    return min(minor, wishes.minor), readahead, InitFlag(low | high << 32)


def _newer_than(minor: int) -> InitFlag:
    newer = InitFlag(0)
    for introduced, flags in _INTRODUCED.items():
        if introduced > minor:
            newer |= flags
    return newer


def _reply(agreed: Negotiated, wishes: Wishes) -> bytes:
    flags = int(agreed.flags)
    timeout = wishes.request_timeout if agreed.has(InitFlag.REQUEST_TIMEOUT) else 0
    return INIT_OUT.pack(
        MAJOR,
        agreed.minor,
        agreed.max_readahead,
        flags & _LOW,
        wishes.max_background,
        wishes.congestion_threshold,
        agreed.max_write,
        agreed.time_gran,
        agreed.max_pages,
        0,  # map_alignment
        flags >> 32,
        agreed.max_stack_depth,
        timeout,
    )
