"""System calls that the actors of the differential fuzzer make themselves.

Not through :mod:`snapfs.syscalls`: what drives the engine's mount shares no code with
it, so that a mistake in a wrapper cannot hide one in the engine.
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Final, NamedTuple

FALLOC_FL_KEEP_SIZE: Final = 0x01
FALLOC_FL_PUNCH_HOLE: Final = 0x02
FALLOC_FL_COLLAPSE_RANGE: Final = 0x08
FALLOC_FL_ZERO_RANGE: Final = 0x10
FALLOC_FL_INSERT_RANGE: Final = 0x20
RENAME_NOREPLACE: Final = 1
RENAME_EXCHANGE: Final = 2
RENAME_WHITEOUT: Final = 4
STATX_BASIC_STATS: Final = 0x7FF
AT_STATX_FORCE_SYNC: Final = 0x2000
AT_STATX_DONT_SYNC: Final = 0x4000

_AT_FDCWD: Final = -100
_AT_EMPTY_PATH: Final = 0x1000
_AT_SYMLINK_NOFOLLOW: Final = 0x100
# struct linux_dirent64: d_ino, d_off, d_reclen, d_type.
_DIRENT: Final = struct.Struct("=QqHB")
# struct statx up to stx_blocks: mask, blksize, attributes, nlink, uid, gid, mode, ino,
# size.
_STATX: Final = struct.Struct("=IIQIIIHxxQQ")
_STATX_BYTES: Final = 256
_libc: Final = ctypes.CDLL(None, use_errno=True)


class Entry(NamedTuple):
    """One directory entry as getdents64(2) tells it."""

    name: bytes
    d_type: int
    ino: int


class Statx(NamedTuple):
    """The fields of statx(2) that the fuzzer looks at."""

    nlink: int
    uid: int
    gid: int
    mode: int
    ino: int
    size: int


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def renameat2(
    old: bytes, new: bytes, flags: int, old_dir_fd: int | None, new_dir_fd: int | None
) -> None:
    """Rename with ``RENAME_*`` flags."""
    source = _AT_FDCWD if old_dir_fd is None else old_dir_fd
    target = _AT_FDCWD if new_dir_fd is None else new_dir_fd
    _checked(_libc.renameat2(source, old, target, new, ctypes.c_uint(flags)))


def fallocate(fd: int, mode: int, offset: int, length: int) -> None:
    """Change the space of a file by fallocate(2)."""
    span = (ctypes.c_int64(offset), ctypes.c_int64(length))
    _checked(_libc.fallocate(fd, mode, *span))


def link_descriptor(fd: int, path: bytes) -> None:
    """Give an open file a name: linkat(2) with AT_EMPTY_PATH."""
    _checked(_libc.linkat(fd, b"", _AT_FDCWD, path, _AT_EMPTY_PATH))


def statx(path: bytes, flags: int) -> Statx:
    """Read the status of a name, symbolic links not followed."""
    buffer = ctypes.create_string_buffer(_STATX_BYTES)
    flags |= _AT_SYMLINK_NOFOLLOW
    _checked(_libc.statx(_AT_FDCWD, path, flags, STATX_BASIC_STATS, buffer))
    _, _, _, *fields = _STATX.unpack_from(buffer)
    return Statx(*fields)


def entries(fd: int, buffer_bytes: int) -> list[Entry]:
    """Make one getdents64(2) call from the descriptor's position on."""
    buffer = ctypes.create_string_buffer(buffer_bytes)
    size = _checked(_libc.getdents64(fd, buffer, ctypes.c_size_t(buffer_bytes)))
    raw, start, found = buffer.raw[:size], 0, []
    while start < size:
        ino, _, length, kind = _DIRENT.unpack_from(raw, start)
        name, _, _ = raw[start + _DIRENT.size : start + length].partition(b"\0")
        found.append(Entry(name, kind, ino))
        start += length
    return found


def all_entries(fd: int, buffer_bytes: int = 1 << 15) -> list[Entry]:
    """Read a directory from the descriptor's position to its end."""
    found: list[Entry] = []
    while piece := entries(fd, buffer_bytes):
        found += piece
    return found
