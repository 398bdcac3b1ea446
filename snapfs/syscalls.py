"""Linux system calls that Python lacks; the only module that imports ctypes.

Thin, typed wrappers: one function is one call. They raise ``OSError(errno, text,
path)``, change nothing else, and release the GIL while the kernel works. Paths are
what ``os.fsencode`` takes. Rules and policy belong to the callers.

Numbers and constants are those of ``include/uapi/linux`` (``mount.h``, ``fs.h``,
``fcntl.h``, ``sched.h``) and ``include/linux/ioprio.h``. Calls that every C library
has go through it; for the others the number is used, since the wrappers of the mount
API came only with glibc 2.36.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterator

from snapfs.light_typing import Final, TypeAlias

StrPath: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]

AT_FDCWD: Final = -100
AT_EMPTY_PATH: Final = 0x1000
AT_RECURSIVE: Final = 0x8000
AT_SYMLINK_NOFOLLOW: Final = 0x100

MS_RDONLY: Final = 0x1
MS_NOSUID: Final = 0x2
MS_NODEV: Final = 0x4
MS_NOEXEC: Final = 0x8
MS_SYNCHRONOUS: Final = 0x10
MS_REMOUNT: Final = 0x20
MS_DIRSYNC: Final = 0x80
MS_NOATIME: Final = 0x400
MS_NODIRATIME: Final = 0x800
MS_BIND: Final = 0x1000
MS_REC: Final = 0x4000
MS_PRIVATE: Final = 0x40000
MS_RELATIME: Final = 0x200000
MS_STRICTATIME: Final = 0x1000000

MNT_DETACH: Final = 0x2
UMOUNT_NOFOLLOW: Final = 0x8

FSCONFIG_SET_FLAG: Final = 0
FSCONFIG_SET_STRING: Final = 1
FSCONFIG_SET_FD: Final = 5
FSCONFIG_CMD_CREATE: Final = 6

MOVE_MOUNT_F_EMPTY_PATH: Final = 0x4
MOVE_MOUNT_T_EMPTY_PATH: Final = 0x40

MOUNT_ATTR_RDONLY: Final = 0x1
MOUNT_ATTR_NOSUID: Final = 0x2
MOUNT_ATTR_NODEV: Final = 0x4
MOUNT_ATTR_NOEXEC: Final = 0x8
MOUNT_ATTR_ATIME: Final = 0x70  # the mask of the three choices
MOUNT_ATTR_RELATIME: Final = 0x0
MOUNT_ATTR_NOATIME: Final = 0x10
MOUNT_ATTR_STRICTATIME: Final = 0x20
MOUNT_ATTR_NODIRATIME: Final = 0x80
MOUNT_ATTR_IDMAP: Final = 0x100000

RENAME_NOREPLACE: Final = 0x1
RENAME_EXCHANGE: Final = 0x2
RENAME_WHITEOUT: Final = 0x4

CLONE_NEWNS: Final = 0x20000
CLONE_NEWUSER: Final = 0x10000000

IOPRIO_CLASS_IDLE: Final = 3
IOPRIO_CLASS_BEST_EFFORT: Final = 2

DT_UNKNOWN: Final = 0

MOUNT_DATA_MAX: Final = os.sysconf("SC_PAGESIZE") - 1
"""Bytes of data that mount(2) reads; it cuts the rest off and says nothing."""

_CLOEXEC: Final = os.O_CLOEXEC  # OPEN_TREE_CLOEXEC is defined as O_CLOEXEC
_FSOPEN_CLOEXEC: Final = 0x1
_FSMOUNT_CLOEXEC: Final = 0x1
_OPEN_TREE_CLONE: Final = 0x1
_PR_SET_PDEATHSIG: Final = 1
_IOPRIO_WHO_PROCESS: Final = 1
_IOPRIO_CLASS_SHIFT: Final = 13

# SYNC_FILE_RANGE_WAIT_BEFORE, _WRITE and _WAIT_AFTER (linux/fs.h).
_WRITE_AND_WAIT: Final = 1 | 2 | 4

# Since Linux 5.1 a new call has one number on every architecture (but alpha).
_NUMBERS: Final = {
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "mount_setattr": 442,
}
_MACHINE: Final = os.uname().machine
# The asm-generic table serves aarch64, riscv64 and loongarch64.
_OLD_NUMBERS: Final = (
    {"getdents64": 217, "ioprio_set": 251, "renameat2": 316}
    if _MACHINE == "x86_64"
    else {"getdents64": 61, "ioprio_set": 30, "renameat2": 276}
    if _MACHINE in ("aarch64", "riscv64", "loongarch64")
    else {}
)

# A directory entry of getdents64(2): inode, offset, record length, type, name.
_DIRENT: Final = struct.Struct("=QqHB")
_DIRENT_BUFFER: Final = 32 * 1024
# struct statfs is 120 bytes on 64-bit Linux; its first word is f_type.
_STATFS_BUFFER: Final = 256

# malloc.h; what is larger than this is still mapped and unmapped each time.
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_KEPT_BYTES: Final = 16 << 20

_libc: Final = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
# In a hot path: with its types bound it takes half the time of syscall(2).
_renameat2: Final = getattr(_libc, "renameat2", None)  # glibc 2.28
if _renameat2 is not None:
    _renameat2.argtypes = (
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_uint,
    )


class _MountAttr(ctypes.Structure):
    """``struct mount_attr`` of mount_setattr(2)."""

    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def _encode(path: StrPath) -> bytes:
    raw = path if type(path) is bytes else os.fsencode(path)
    if b"\0" in raw:  # C would silently take what stands before it
        raise ValueError("embedded null byte")
    return raw


def _checked(result: int, path: StrPath | None = None) -> int:
    if result >= 0:
        return result
    code = ctypes.get_errno()
    if path is None:
        raise OSError(code, os.strerror(code))
    raise OSError(code, os.strerror(code), path)


def _syscall(name: str, *args: object, path: StrPath | None = None) -> int:
    number = _NUMBERS.get(name) or _OLD_NUMBERS.get(name)
    if number is None:
        raise OSError(errno.ENOSYS, f"{name} has no known number here")
    # Variadic: a plain int would be passed as 32 bits.
    wide = [ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args]
    return _checked(_libc.syscall(ctypes.c_long(number), *wide), path)


def mount(
    source: StrPath, target: StrPath, fstype: str, flags: int = 0, data: bytes = b""
) -> None:
    """Mount a filesystem, or change a mount, the old way.

    Raises:
        OSError: From the kernel; or E2BIG, without a call, for ``data`` that the
            kernel would cut (:data:`MOUNT_DATA_MAX`) or NUL would end.
    """
    if len(data) > MOUNT_DATA_MAX:
        text = f"mount data of {len(data)} bytes; the kernel reads {MOUNT_DATA_MAX}"
        raise OSError(errno.E2BIG, text, target)
    result = _libc.mount(
        _encode(source),
        _encode(target),
        _encode(fstype),
        ctypes.c_ulong(flags),
        _encode(data) or None,
    )
    _checked(result, target)


def umount2(target: StrPath, flags: int = 0) -> None:
    """Unmount what is on top at ``target``."""
    _checked(_libc.umount2(_encode(target), flags), target)


def fsopen(fstype: str) -> int:
    """Open a context to configure a filesystem; return its descriptor.

    ``os.read`` of the descriptor gives the kernel's messages, one a read, and
    ENODATA when there are no more.
    """
    return _syscall("fsopen", _encode(fstype), _FSOPEN_CLOEXEC, path=fstype)


def fsconfig_flag(fd: int, key: str) -> None:
    """Set a parameter that takes no value."""
    _syscall("fsconfig", fd, FSCONFIG_SET_FLAG, _encode(key), None, 0, path=key)


def fsconfig_string(fd: int, key: str, value: StrPath) -> None:
    """Set a parameter to a string; the kernel takes at most 255 bytes (EINVAL)."""
    raw = _encode(value)
    _syscall("fsconfig", fd, FSCONFIG_SET_STRING, _encode(key), raw, 0, path=value)


def fsconfig_fd(fd: int, key: str, value: int) -> None:
    """Set a parameter to an open file, which may be ``O_PATH``."""
    _syscall("fsconfig", fd, FSCONFIG_SET_FD, _encode(key), None, value, path=key)


def fsconfig_create(fd: int) -> None:
    """Create the filesystem that was configured."""
    _syscall("fsconfig", fd, FSCONFIG_CMD_CREATE, None, None, 0)


def fsmount(fd: int, attributes: int = 0) -> int:
    """Mount a created filesystem nowhere yet; return an ``O_PATH`` descriptor.

    Closing the descriptor unmounts it, unless :func:`move_mount` has attached it.
    """
    return _syscall("fsmount", fd, _FSMOUNT_CLOEXEC, attributes)


def move_mount(mount_fd: int, target_fd: int) -> None:
    """Attach the mount of ``mount_fd`` on the open directory ``target_fd``."""
    flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
    _syscall("move_mount", mount_fd, b"", target_fd, b"", flags)


def clone_tree(path: StrPath, *, recursive: bool) -> int:
    """Make a detached bind mount of ``path`` by open_tree(2); return its descriptor."""
    flags = _OPEN_TREE_CLONE | _CLOEXEC | (AT_RECURSIVE if recursive else 0)
    return _syscall("open_tree", AT_FDCWD, _encode(path), flags, path=path)


def mount_setattr(
    fd: int, *, set_: int = 0, clear: int = 0, recursive: bool, userns_fd: int = 0
) -> None:
    """Change the attributes of the mount that ``fd`` names."""
    attr = _MountAttr(set_, clear, 0, userns_fd)
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    size = ctypes.sizeof(attr)
    _syscall("mount_setattr", fd, b"", flags, ctypes.byref(attr), size)


def syncfs(fd: int) -> None:
    """Write the filesystem that holds ``fd`` to disk."""
    _checked(_libc.syncfs(fd))


def write_out(fd: int) -> None:
    """Have all that was written to ``fd`` on its device, in the device's cache maybe.

    sync_file_range(2) over the whole file, waiting. It sends no flush and writes no
    metadata: see :func:`snapfs.state.fsio.settle_with_next_sync` before using it.
    """
    size = ctypes.c_int64(0)  # both from 0 and to the end: off64_t, not int
    _checked(_libc.sync_file_range(fd, size, size, _WRITE_AND_WAIT))


def renameat2(
    old: StrPath,
    new: StrPath,
    flags: int,
    *,
    old_dir_fd: int = AT_FDCWD,
    new_dir_fd: int = AT_FDCWD,
) -> None:
    """Rename with ``RENAME_*`` flags; relative names start at the descriptors."""
    names = (_encode(old), _encode(new))
    if _renameat2 is not None:
        _checked(_renameat2(old_dir_fd, names[0], new_dir_fd, names[1], flags), old)
        return
    _syscall("renameat2", old_dir_fd, names[0], new_dir_fd, names[1], flags, path=old)


def statfs_type(path: StrPath | int) -> int:
    """Return the magic number of the filesystem at a path or descriptor, unsigned."""
    buffer = ctypes.create_string_buffer(_STATFS_BUFFER)
    if isinstance(path, int):
        _checked(_libc.fstatfs(path, buffer))
    else:
        _checked(_libc.statfs(_encode(path), buffer), path)
    return ctypes.c_ulong.from_buffer(buffer).value & 0xFFFFFFFF


def entry_types(directory_fd: int) -> Iterator[tuple[bytes, int]]:
    """Yield name and ``d_type`` of each entry, "." and ".." included.

    Reads from the descriptor's position on, by getdents64(2).
    """
    buffer = ctypes.create_string_buffer(_DIRENT_BUFFER)
    while size := _syscall("getdents64", directory_fd, buffer, _DIRENT_BUFFER):
        raw = buffer.raw[:size]
        start = 0
        while start < size:
            _, _, length, kind = _DIRENT.unpack_from(raw, start)
            name, _, _ = raw[start + _DIRENT.size : start + length].partition(b"\0")
            yield name, kind
            start += length


def set_io_priority(priority_class: int, level: int = 0) -> None:
    """Set the I/O class and level of the calling thread, by ioprio_set(2).

    A process that does this before it starts threads passes it on to them.
    """
    priority = priority_class << _IOPRIO_CLASS_SHIFT | level
    _syscall("ioprio_set", _IOPRIO_WHO_PROCESS, 0, priority)


def die_with_parent(signal: int) -> None:
    """Have the kernel send ``signal`` to this process when its parent dies.

    The parent's thread that made it counts (``PR_SET_PDEATHSIG``); whoever may be dead
    already is asked for afterwards.
    """
    _checked(_libc.prctl(_PR_SET_PDEATHSIG, signal, 0, 0, 0))


def unshare(flags: int) -> None:
    """Move the calling thread into new namespaces (``CLONE_NEW*``)."""
    _checked(_libc.unshare(flags))


def keep_freed_memory() -> None:
    """Have the C library keep what this process frees, for its next allocations.

    By mallopt(3), where there is one. Otherwise a buffer of a mebibyte goes back to
    the kernel each time, which clears it anew: half of what inflating costs.
    """
    if hasattr(_libc, "mallopt"):
        _libc.mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
        _libc.mallopt(_M_TRIM_THRESHOLD, 4 * _KEPT_BYTES)
