"""System calls on files that the standard library lacks; the second home of ctypes.

Thin, typed wrappers in the manner of :mod:`snapfs.syscalls`: one function is one
call, raises ``OSError`` with the kernel's errno, and releases the GIL while the
kernel works. Names are ``bytes`` and start at an open directory. The argument types
are bound once, since these calls stand in hot paths.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from snapfs.light_typing import Final

AT_FDCWD: Final = -100
AT_SYMLINK_FOLLOW: Final = 0x400
AT_EMPTY_PATH: Final = 0x1000

UTIME_NOW: Final = 1 << 100  # no time: the kernel counts in 64 bits
UTIME_OMIT: Final = UTIME_NOW + 1
"""In place of nanoseconds: the kernel's time now; leave this time alone."""

FALLOC_FL_KEEP_SIZE: Final = 0x1
FALLOC_FL_PUNCH_HOLE: Final = 0x2

MAX_HANDLE_BYTES: Final = 128
"""``MAX_HANDLE_SZ`` of ``linux/exportfs.h``."""

_NSEC_NOW: Final = (1 << 30) - 1  # UTIME_NOW and UTIME_OMIT of linux/stat.h
_NSEC_OMIT: Final = (1 << 30) - 2
_NSEC_PER_S: Final = 1_000_000_000

# struct file_handle: the size of f_handle, its type, then the bytes themselves.
_HANDLE: Final = struct.Struct("=Ii")
_NO_HANDLE: Final = _HANDLE.pack(MAX_HANDLE_BYTES, 0) + bytes(MAX_HANDLE_BYTES)
_HandleBuffer: Final = ctypes.c_char * len(_NO_HANDLE)
_mount_id: Final = ctypes.create_string_buffer(ctypes.sizeof(ctypes.c_int))  # not used
# struct timespec, twice: access time, modification time.
_TIMES: Final = struct.Struct("@llll")
# struct __user_cap_header_struct and two __user_cap_data_struct.
_CAP_HEADER: Final = struct.pack("=Ii", 0x20080522, 0)
_CAP_DATA: Final = struct.Struct("=6I")

# struct open_how: flags, mode, resolve (openat2(2)).
_OPEN_HOW: Final = struct.Struct("=QQQ")
_RESOLVE_IN_ROOT: Final = 0x10
_SYS_OPENAT2: Final = 437  # the same on every architecture (asm-generic/unistd.h)

_NR_QUOTACTL_FD: Final = 443  # the same for all architectures, as of all new calls

_NR_LISTXATTRAT: Final = 465
_NOFOLLOW: Final = 0x100

_libc: Final = ctypes.CDLL(None, use_errno=True)

_fallocate: Final = _libc.fallocate
_fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
_utimensat: Final = _libc.utimensat
_utimensat.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int)
_futimens: Final = _libc.futimens
_futimens.argtypes = (ctypes.c_int, ctypes.c_char_p)
_listxattrat: Final = _libc["syscall"]
_listxattrat.restype = ctypes.c_long
_listxattrat.argtypes = (
    ctypes.c_long,
    ctypes.c_long,
    ctypes.c_char_p,
    ctypes.c_long,
    ctypes.c_char_p,
    ctypes.c_long,
)
_has_listxattrat = True
_linkat: Final = _libc.linkat
_linkat.argtypes = (
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.c_int,
)
_name_to_handle_at: Final = _libc.name_to_handle_at
_name_to_handle_at.argtypes = (
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_int,
)
_open_by_handle_at: Final = _libc.open_by_handle_at
_open_by_handle_at.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
_setfsuid: Final = _libc.setfsuid
_setfsuid.argtypes = (ctypes.c_uint,)
_setfsuid.restype = ctypes.c_uint
_setfsgid: Final = _libc.setfsgid
_setfsgid.argtypes = (ctypes.c_uint,)
_setfsgid.restype = ctypes.c_uint
_capget: Final = _libc.capget
_capget.argtypes = (ctypes.c_char_p, ctypes.c_void_p)
_capset: Final = _libc.capset
_capset.argtypes = (ctypes.c_char_p, ctypes.c_char_p)


def _failed(name: bytes | None = None) -> OSError:
    code = ctypes.get_errno()
    if name is None:
        return OSError(code, os.strerror(code))
    return OSError(code, os.strerror(code), name)


def fallocate(fd: int, mode: int, offset: int, length: int) -> None:
    """Allocate, punch or zero a range of a file; ``mode`` holds ``FALLOC_FL_*``."""
    if _fallocate(fd, mode, offset, length):
        raise _failed()


def open_in_root(root_fd: int, path: bytes, flags: int) -> int:
    """Open ``path`` as a process would whose root directory is ``root_fd``.

    No symbolic link and no ``..`` leads out of it.

    Raises:
        OSError: From openat2(2); ENOSYS before Linux 5.6.
    """
    how = _OPEN_HOW.pack(flags | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT)
    # Variadic: a plain int would be passed as 32 bits.
    number, directory, size = map(ctypes.c_long, (_SYS_OPENAT2, root_fd, len(how)))
    fd = int(_libc.syscall(number, directory, path, how, size))
    if fd < 0:
        raise _failed(path)
    return fd


def set_times(dir_fd: int, name: bytes, atime_ns: int, mtime_ns: int) -> None:
    """Set the times of an entry, which may be a symbolic link, by utimensat(2).

    Either time may be :data:`UTIME_NOW` or :data:`UTIME_OMIT`, which
    :func:`os.utime` cannot say.
    """
    if atime_ns < UTIME_NOW and mtime_ns < UTIME_NOW:
        # Much faster than a foreign call.
        times = atime_ns, mtime_ns
        try:
            os.utime(name, ns=times, dir_fd=dir_fd, follow_symlinks=False)
        except OSError as error:
            error.filename = name  # of this call the library does not say it
            raise
        return
    data = _TIMES.pack(*_timespec(atime_ns), *_timespec(mtime_ns))
    if _utimensat(dir_fd, name, data, 0x100):  # AT_SYMLINK_NOFOLLOW
        raise _failed(name)


def set_open_times(fd: int, atime_ns: int, mtime_ns: int) -> None:
    """Set the times of an open file; otherwise as :func:`set_times`."""
    if atime_ns < UTIME_NOW and mtime_ns < UTIME_NOW:
        os.utime(fd, ns=(atime_ns, mtime_ns))  # much faster than a foreign call
        return
    data = _TIMES.pack(*_timespec(atime_ns), *_timespec(mtime_ns))
    if _futimens(fd, data):
        raise _failed()


def _timespec(time_ns: int) -> tuple[int, int]:
    if time_ns == UTIME_NOW:
        return 0, _NSEC_NOW
    if time_ns == UTIME_OMIT:
        return 0, _NSEC_OMIT
    return divmod(time_ns, _NSEC_PER_S)


def link_descriptor(fd: int, dir_fd: int, name: bytes) -> None:
    """Give the file of ``fd``, which may have no name yet, the name ``name``.

    linkat(2) with ``AT_EMPTY_PATH`` where the kernel allows it, through ``/proc``
    otherwise, as its manual page advises.
    """
    if not _linkat(fd, b"", dir_fd, name, AT_EMPTY_PATH):
        return
    # ENOENT says: neither CAP_DAC_READ_SEARCH nor (Linux 6.10) the opener's creds.
    if ctypes.get_errno() != errno.ENOENT:
        raise _failed(name)
    path = b"/proc/self/fd/%d" % fd
    if _linkat(AT_FDCWD, path, dir_fd, name, AT_SYMLINK_FOLLOW):
        raise _failed(name)


def name_to_handle_at(dir_fd: int, name: bytes) -> tuple[int, bytes]:
    """Return type and bytes of an entry's file handle; a link is not followed.

    An empty ``name`` means ``dir_fd`` itself. EOPNOTSUPP: its filesystem has none.
    """
    buffer = _HandleBuffer.from_buffer_copy(_NO_HANDLE)
    flags = 0 if name else AT_EMPTY_PATH
    if _name_to_handle_at(dir_fd, name, buffer, _mount_id, flags):
        raise _failed(name)
    raw = buffer.raw
    size, kind = _HANDLE.unpack_from(raw)
    return kind, raw[_HANDLE.size : _HANDLE.size + size]


def open_by_handle_at(mount_fd: int, kind: int, handle: bytes, flags: int) -> int:
    """Open what a file handle names, on the filesystem of ``mount_fd``.

    ESTALE: there is no such file any more. EPERM: it takes CAP_DAC_READ_SEARCH.
    ``mount_fd`` must not be ``O_PATH``.
    """
    record = _HANDLE.pack(len(handle), kind) + handle
    buffer = ctypes.create_string_buffer(record, len(record))
    fd: int = _open_by_handle_at(mount_fd, buffer, flags | os.O_CLOEXEC)
    if fd < 0:
        raise _failed()
    return fd


def list_xattrs_at(dir_fd: int, name: bytes) -> list[str]:
    """Return the names of an entry's extended attributes; a link is not followed.

    That there are none, as with most, is asked by listxattrat(2) (Linux 6.13), which
    spares the kernel the way through ``/proc``.

    Raises:
        OSError: From listxattr(2); ENOTSUP, its filesystem has none.
    """
    global _has_listxattrat  # what the kernel can stays so
    if _has_listxattrat:
        size = _listxattrat(_NR_LISTXATTRAT, dir_fd, name, _NOFOLLOW, None, 0)
        if size == 0:
            return []
        # Sandboxes answer EPERM to a call that they do not know.
        if size < 0 and ctypes.get_errno() in (errno.ENOSYS, errno.EPERM):
            _has_listxattrat = False
    path = b"/proc/self/fd/%d/%s" % (dir_fd, name)
    return os.listxattr(path, follow_symlinks=False)


def set_fsuid(uid: int) -> int:
    """Make the calling thread create files for ``uid``; return who it was.

    The kernel reports no error: see what a second call returns. With the change
    from root the thread loses its effective filesystem capabilities.
    """
    return int(_setfsuid(uid))


def set_fsgid(gid: int) -> int:
    """Make the calling thread create files for the group ``gid``; return the old."""
    return int(_setfsgid(gid))


def capabilities() -> tuple[int, int, int, int, int, int]:
    """Return the calling thread's sets: (effective, permitted, inheritable) twice.

    First the capabilities below 32, then the others; what :func:`set_capabilities`
    takes.
    """
    buffer = ctypes.create_string_buffer(_CAP_DATA.size)
    if _capget(_CAP_HEADER, buffer):
        raise _failed()
    low = _CAP_DATA.unpack(buffer.raw)
    return low[0], low[1], low[2], low[3], low[4], low[5]


def set_capabilities(sets: tuple[int, int, int, int, int, int]) -> None:
    """Set the capabilities of the calling thread alone."""
    if _capset(_CAP_HEADER, _CAP_DATA.pack(*sets)):
        raise _failed()


def quotactl_fd(fd: int, command: int, identity: int, buffer: bytearray) -> None:
    """Ask or change the quotas of the filesystem that holds ``fd``; ``Q_*`` commands.

    ``command`` is a ``Q_*`` number with the quota's kind, as ``QCMD`` makes it; the
    answer is written to ``buffer``. Since Linux 5.14.
    """
    data = (ctypes.c_char * len(buffer)).from_buffer(buffer)
    number = ctypes.c_long(_NR_QUOTACTL_FD)
    arguments = (ctypes.c_long(fd), ctypes.c_long(command), ctypes.c_long(identity))
    if _libc.syscall(number, *arguments, data) < 0:
        raise _failed()
