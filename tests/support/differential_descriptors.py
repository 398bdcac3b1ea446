"""Operations of the differential fuzzer on descriptors that actors keep.

They outlive copy-up, unlink and rename of what they were opened on: see
:mod:`support.differential_operations` for the rest of the vocabulary.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import stat
from collections.abc import Callable, Mapping
from typing import Final

from support import differential_syscalls as syscalls
from support.differential_operations import (
    PATH_CALLS,
    Data,
    Held,
    Where,
    expand,
    shorten,
)

# Opening a fifo must not wait, nor a terminal take control.
_ALWAYS: Final = os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def open_file(
    held: Held, slot: int, where: Where, flags: int, mode: int
) -> dict[str, object]:
    dir_fd, path = held.place(where)
    fd = os.open(path, flags | _ALWAYS, mode, dir_fd=dir_fd)
    held.keep(slot, fd)
    return held.sight.status(os.fstat(fd))


def link_descriptor(held: Held, slot: int, path: bytes) -> None:
    syscalls.link_descriptor(held[slot], path)


def close(held: Held, slot: int) -> None:
    held.close(slot)


def read(held: Held, slot: int, size: int) -> object:
    return shorten(os.read(held[slot], size))


def read_at(held: Held, slot: int, offset: int, size: int) -> object:
    return shorten(os.pread(held[slot], size, offset))


def write(held: Held, slot: int, data: Data) -> int:
    return os.write(held[slot], expand(data))


def write_at(held: Held, slot: int, offset: int, data: Data) -> int:
    return os.pwrite(held[slot], expand(data), offset)


def seek(held: Held, slot: int, offset: int, whence: int) -> object:
    """Move the position; not that of a directory, which is no number of bytes."""
    fd = held[slot]
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        return "a directory"
    return os.lseek(fd, offset, whence)


def set_size(held: Held, slot: int, size: int) -> None:
    os.ftruncate(held[slot], size)


def allocate(held: Held, slot: int, mode: int, offset: int, length: int) -> None:
    syscalls.fallocate(held[slot], mode, offset, length)


def copy_range(
    held: Held, source: int, offset: int, target: int, target_offset: int, length: int
) -> int:
    return os.copy_file_range(held[source], held[target], length, offset, target_offset)


def look_for_holes(held: Held, slot: int) -> str:
    """Walk by SEEK_DATA and SEEK_HOLE; holes must read as zeros.

    Where they lie is the filesystem's affair, which moves with copy-up.
    """
    fd = held[slot]
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        return "no file"
    size, position, back = os.fstat(fd).st_size, 0, os.lseek(fd, 0, os.SEEK_CUR)
    try:
        while position < size:
            start = _seek_or_end(fd, position, size)
            if any(os.pread(fd, start - position, position)):
                return f"data in the hole at {position}"
            position = os.lseek(fd, start, os.SEEK_HOLE) if start < size else size
            if position <= start < size:
                return f"SEEK_HOLE went back from {start} to {position}"
    finally:
        os.lseek(fd, back, os.SEEK_SET)
    return f"{size} bytes in order"


def _seek_or_end(fd: int, position: int, size: int) -> int:
    try:
        return os.lseek(fd, position, os.SEEK_DATA)
    except OSError as error:
        if error.errno != errno.ENXIO:  # a hole up to the end
            raise
        return size


def map_and_write(held: Held, slot: int, offset: int, data: Data) -> object:
    """Change a file through a shared mapping, and msync it."""
    fd, content = held[slot], expand(data)
    size = os.fstat(fd).st_size if stat.S_ISREG(os.fstat(fd).st_mode) else 0
    length = min(len(content), size - offset)
    if length <= 0:
        return "beyond the end"  # a store there is SIGBUS
    with mmap.mmap(fd, offset + length, mmap.MAP_SHARED) as area:
        area[offset : offset + length] = content[:length]
        area.flush()
    return length


def map_and_read(held: Held, slot: int, offset: int, length: int) -> object:
    fd = held[slot]
    size = os.fstat(fd).st_size if stat.S_ISREG(os.fstat(fd).st_mode) else 0
    if offset >= size:
        return "beyond the end"
    with mmap.mmap(fd, 0, mmap.MAP_SHARED, mmap.PROT_READ) as area:
        return shorten(area[offset : offset + length])


def status(held: Held, slot: int) -> dict[str, object]:
    found = os.fstat(held[slot])
    shown = held.sight.status(found)
    return {**shown, "same ino": held.is_same_ino(slot, found.st_ino)}


def change_mode(held: Held, slot: int, mode: int) -> object:
    return _change(held, slot, lambda fd: os.fchmod(fd, mode))


def change_owner(held: Held, slot: int, uid: int, gid: int) -> object:
    def change(fd: int) -> str | None:
        os.fchown(fd, uid, gid)
        return None if (uid, gid) != (-1, -1) else oct(os.fstat(fd).st_mode)

    return _change(held, slot, change)


def _change(held: Held, slot: int, change: Callable[[int], object]) -> object:
    """Change what is held, if it is a file or a directory.

    Where a fifo or device of a layer was unlinked, overlayfs would put the copy back
    under its old name.
    """
    fd = held[slot]
    kind = stat.S_IFMT(os.fstat(fd).st_mode)
    if kind not in (stat.S_IFREG, stat.S_IFDIR):
        return "a special file"
    return change(fd)


def part(held: Held, slot: int) -> None:
    """Have a file copied up that was opened for writing, and note its number then."""
    with contextlib.suppress(OSError):  # no filesystem has such a name
        os.setxattr(held[slot], b"bogus.x", b"")
    held.note_number(slot)


def set_times(held: Held, slot: int, times: tuple[int, int] | None) -> object:
    if times is None:
        return _change(held, slot, os.utime)
    return _change(held, slot, lambda fd: os.utime(fd, ns=times))


def sync(held: Held, slot: int, data_only: bool) -> None:
    (os.fdatasync if data_only else os.fsync)(held[slot])


def set_xattr(held: Held, slot: int, name: bytes, value: bytes, flags: int) -> object:
    return _change(held, slot, lambda fd: os.setxattr(fd, name, value, flags))


def get_xattr(held: Held, slot: int, name: bytes) -> bytes:
    return os.getxattr(held[slot], name)


def list_xattrs(held: Held, slot: int) -> list[str]:
    return sorted(os.listxattr(held[slot]))


def remove_xattr(held: Held, slot: int, name: bytes) -> object:
    return _change(held, slot, lambda fd: os.removexattr(fd, name))


def list_directory(held: Held, slot: int) -> list[tuple[bytes, int]]:
    fd = held[slot]
    os.lseek(fd, 0, os.SEEK_SET)
    found = syscalls.all_entries(fd)
    os.lseek(fd, 0, os.SEEK_SET)  # the end is a number of the filesystem's own
    return sorted((entry.name, entry.d_type) for entry in found)


def lock_whole(held: Held, slot: int, operation: int) -> None:
    fcntl.flock(held[slot], operation | fcntl.LOCK_NB)


def lock_range(held: Held, slot: int, kind: int, start: int, length: int) -> None:
    now = 0 if kind == fcntl.LOCK_UN else fcntl.LOCK_NB
    fcntl.lockf(held[slot], kind | now, length, start)


CALLS: Final[Mapping[str, Callable[..., object]]] = {
    **PATH_CALLS,
    "open": open_file,
    "link_descriptor": link_descriptor,
    "close": close,
    "read": read,
    "pread": read_at,
    "write": write,
    "pwrite": write_at,
    "lseek": seek,
    "ftruncate": set_size,
    "fallocate": allocate,
    "copy_file_range": copy_range,
    "seek_data_hole": look_for_holes,
    "mmap_write": map_and_write,
    "mmap_read": map_and_read,
    "fstat": status,
    "fchmod": change_mode,
    "fchown": change_owner,
    "futimens": set_times,
    "fsync": sync,
    "fsetxattr": set_xattr,
    "fgetxattr": get_xattr,
    "flistxattr": list_xattrs,
    "fremovexattr": remove_xattr,
    "flist": list_directory,
    "flock": lock_whole,
    "lockf": lock_range,
    "part": part,
}
