"""The vocabulary of the differential fuzzer: what one operation is and how it is done.

An operation is plain data, so that a failing run can be printed, cut down and done
again. Paths are relative to the root that the actor runs in, or to a descriptor it
holds. The values that operations return are plain too, and equal on two filesystems
that behave alike: inode numbers and times are shown through :class:`Sight`.
"""

from __future__ import annotations

import dataclasses
import errno
import functools
import hashlib
import os
import random
import stat
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from support import differential_syscalls as syscalls

Where: TypeAlias = bytes | tuple[int, bytes]
"""A path from the root, or (slot of a held directory, path from there)."""
Data: TypeAlias = tuple[int, int]
"""What is written: a seed and a size, which :func:`expand` turns into bytes."""

NEW: Final = -1
NOW: Final = -2
NO_DESCRIPTOR: Final = "no descriptor"
_SHOWN_BYTES: Final = 48
_SHOWN_CHARACTERS: Final = 300
_SMALL_DIRENT_BUFFER: Final = 320  # the least that holds a name of 255 bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Operation:
    """One call by one actor; its string is how reports show it."""

    actor: int
    call: str
    arguments: tuple[object, ...] = ()

    def __str__(self) -> str:
        shown = ", ".join(_show(argument) for argument in self.arguments)
        return f"{self.actor}: {self.call}({shown})"


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What an operation gave: a value, or the name of an errno."""

    error: str
    value: object = None

    def __str__(self) -> str:
        return self.error or f"success, {self.value!r}"


@dataclasses.dataclass(frozen=True, slots=True)
class Sight:
    """What of numbers and times two filesystems over the same layers have in common.

    Attributes:
        lower_inos: Inode numbers within the lower layers, which both show as they are.
        start_ns: Times from here on are "now"; all that are set on purpose lie before.
        has_every_origin: Whether links and special files keep their numbers, too: a
            ``user.overlay.origin`` only files and directories can have (xattr(7)).
    """

    lower_inos: frozenset[int]
    start_ns: int
    has_every_origin: bool = True

    def shows_number(self, *, is_special: bool) -> bool:
        """Tell whether an object, or a link or special file, has one to compare."""
        return self.has_every_origin or not is_special

    def ino(self, ino: int, *, is_special: bool) -> int:
        """Show the number of a lower object; all others as :data:`NEW`."""
        is_shown = ino in self.lower_inos and self.shows_number(is_special=is_special)
        return ino if is_shown else NEW

    def time(self, time_ns: int) -> int:
        """Show a time that was set on purpose; all others as :data:`NOW`."""
        return time_ns if time_ns < self.start_ns else NOW

    def status(self, status: os.stat_result) -> dict[str, object]:
        """Show what is compared of a status; sizes and links of directories are not."""
        kind = stat.S_IFMT(status.st_mode)
        is_directory = kind == stat.S_IFDIR
        has_device = kind in (stat.S_IFCHR, stat.S_IFBLK)
        return {
            "mode": oct(status.st_mode),
            "uid": status.st_uid,
            "gid": status.st_gid,
            "size": None if is_directory else status.st_size,
            "nlink": None if is_directory else status.st_nlink,
            "rdev": status.st_rdev if has_device else 0,
            "mtime": self.time(status.st_mtime_ns),
            "ino": self.ino(status.st_ino, is_special=is_special(kind)),
        }


def is_special(kind: int) -> bool:
    """Tell whether a kind (``S_IFMT``) is neither a file's nor a directory's."""
    return kind not in (stat.S_IFREG, stat.S_IFDIR)


class Held:
    """The descriptors an actor keeps, by slot, and the inode each was opened on."""

    def __init__(self, sight: Sight) -> None:
        self.sight = sight
        self._slots: dict[int, int] = {}
        self._inos: dict[int, int] = {}

    def __getitem__(self, slot: int) -> int:
        return self._slots[slot]

    def keep(self, slot: int, fd: int) -> None:
        """Keep ``fd`` in ``slot``, in place of what was there."""
        self.close(slot)
        self._slots[slot] = fd
        self.note_number(slot)

    def note_number(self, slot: int) -> None:
        """Take the number that an object has now for the one it was opened with."""
        self._inos[slot] = os.fstat(self._slots[slot]).st_ino

    def close(self, slot: int) -> None:
        """Close what ``slot`` holds, if anything."""
        fd = self._slots.pop(slot, None)
        if fd is not None:
            os.close(fd)

    def is_same_ino(self, slot: int, ino: int) -> bool:
        """Tell whether an object still has the number it was opened with."""
        return self._inos[slot] == ino

    def place(self, where: Where) -> tuple[int | None, bytes]:
        """Return the ``dir_fd`` and path to give to a system call."""
        if isinstance(where, bytes):
            return None, where
        return self._slots[where[0]], where[1]


@functools.lru_cache(maxsize=64)
def expand(data: Data) -> bytes:
    """Return the bytes that ``data`` stands for; any two differ at all offsets."""
    seed, size = data
    return random.Random(seed).randbytes(size)


def parent_of(where: Where | object) -> int | bytes:
    """Return the directory of a place: the slot that holds it, or a path."""
    if isinstance(where, tuple):
        return int(where[0])
    assert isinstance(where, bytes)
    return os.path.dirname(where) or b"."


def shorten(content: bytes) -> object:
    """Return ``content``, or its size and hash if it is long."""
    if len(content) <= _SHOWN_BYTES:
        return content
    return len(content), hashlib.sha256(content).hexdigest()[:16]


def brief(value: object) -> str:
    """Return the representation of ``value``, cut if it is long."""
    text = repr(value)
    if len(text) <= _SHOWN_CHARACTERS:
        return text
    return f"{text[:_SHOWN_CHARACTERS]}... ({len(text)} characters)"


def perform(
    held: Held, calls: Mapping[str, Callable[..., object]], operation: Operation
) -> Outcome:
    """Do one operation and say how it went; never raises for the filesystem's sake."""
    try:
        value = calls[operation.call](held, *operation.arguments)
    except OSError as error:
        return Outcome(errno.errorcode.get(error.errno or 0, str(error)))
    except KeyError as missing:
        if not isinstance(missing.args[0], int):
            raise
        return Outcome(NO_DESCRIPTOR)
    return Outcome("", value)


def make_directory(held: Held, where: Where, mode: int) -> None:
    dir_fd, path = held.place(where)
    os.mkdir(path, mode, dir_fd=dir_fd)


def remove_directory(held: Held, where: Where) -> None:
    dir_fd, path = held.place(where)
    os.rmdir(path, dir_fd=dir_fd)


def make_node(held: Held, where: Where, mode: int, device: int) -> None:
    dir_fd, path = held.place(where)
    os.mknod(path, mode, device, dir_fd=dir_fd)


def make_symlink(held: Held, target: bytes, where: Where) -> None:
    dir_fd, path = held.place(where)
    os.symlink(target, path, dir_fd=dir_fd)


def read_symlink(held: Held, where: Where) -> bytes:
    dir_fd, path = held.place(where)
    return os.readlink(path, dir_fd=dir_fd)


def link(held: Held, old: Where, new: Where, follow: bool) -> None:
    old_fd, old_path = held.place(old)
    new_fd, new_path = held.place(new)
    os.link(
        old_path,
        new_path,
        src_dir_fd=old_fd,
        dst_dir_fd=new_fd,
        follow_symlinks=follow,
    )


def unlink(held: Held, where: Where) -> None:
    dir_fd, path = held.place(where)
    os.unlink(path, dir_fd=dir_fd)


def rename(held: Held, old: Where, new: Where, flags: int) -> None:
    old_fd, old_path = held.place(old)
    new_fd, new_path = held.place(new)
    syscalls.renameat2(old_path, new_path, flags, old_fd, new_fd)


def change_mode(held: Held, where: Where, mode: int) -> None:
    dir_fd, path = held.place(where)
    os.chmod(path, mode, dir_fd=dir_fd)


def change_owner(
    held: Held, where: Where, uid: int, gid: int, follow: bool
) -> str | None:
    """Change the owner; return the mode where it stays, which set-id bits leave."""
    dir_fd, path = held.place(where)
    os.chown(path, uid, gid, dir_fd=dir_fd, follow_symlinks=follow)
    if (uid, gid) != (-1, -1):
        return None
    return oct(os.stat(path, dir_fd=dir_fd, follow_symlinks=follow).st_mode)


def set_times(
    held: Held, where: Where, times: tuple[int, int] | None, follow: bool
) -> None:
    """Set access and modification times in nanoseconds; None: both to now."""
    dir_fd, path = held.place(where)
    if times is None:
        os.utime(path, dir_fd=dir_fd, follow_symlinks=follow)
    else:
        os.utime(path, ns=times, dir_fd=dir_fd, follow_symlinks=follow)


def truncate(held: Held, path: bytes, size: int) -> None:
    os.truncate(path, size)


def status(held: Held, where: Where, follow: bool) -> dict[str, object]:
    dir_fd, path = held.place(where)
    return held.sight.status(os.stat(path, dir_fd=dir_fd, follow_symlinks=follow))


def extended_status(held: Held, path: bytes, flags: int) -> dict[str, object]:
    found = syscalls.statx(path, flags)
    kind = stat.S_IFMT(found.mode)
    is_directory = kind == stat.S_IFDIR
    return {
        "mode": oct(found.mode),
        "uid": found.uid,
        "gid": found.gid,
        "size": None if is_directory else found.size,
        "nlink": None if is_directory else found.nlink,
        "ino": held.sight.ino(found.ino, is_special=is_special(kind)),
    }


def access(held: Held, where: Where, mode: int) -> bool:
    dir_fd, path = held.place(where)
    return os.access(path, mode, dir_fd=dir_fd)


def longest_name(held: Held, path: bytes) -> int:
    return os.statvfs(path).f_namemax


def list_directory(held: Held, where: Where) -> list[tuple[bytes, int]]:
    dir_fd, path = held.place(where)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY, dir_fd=dir_fd)
    try:
        return sorted((entry.name, entry.d_type) for entry in syscalls.all_entries(fd))
    finally:
        os.close(fd)


def list_while_removing(
    held: Held, path: bytes, victims: tuple[bytes, ...]
) -> list[bytes]:
    """Read a directory in small pieces and unlink names after the first.

    Returns the names that were not touched, each as often as it was listed: POSIX
    leaves open only whether touched ones are seen.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        found = syscalls.entries(fd, _SMALL_DIRENT_BUFFER)
        for name in victims:
            try:
                os.unlink(name, dir_fd=fd)
            except OSError as error:
                if error.errno == errno.EIO:  # no answer of a healthy filesystem
                    raise
        found += syscalls.all_entries(fd, _SMALL_DIRENT_BUFFER)
    finally:
        os.close(fd)
    return sorted(entry.name for entry in found if entry.name not in victims)


def set_xattr(
    held: Held, path: bytes, name: bytes, value: bytes, flags: int, follow: bool
) -> None:
    os.setxattr(path, name, value, flags, follow_symlinks=follow)


def get_xattr(held: Held, path: bytes, name: bytes, follow: bool) -> bytes:
    return os.getxattr(path, name, follow_symlinks=follow)


def list_xattrs(held: Held, path: bytes, follow: bool) -> list[str]:
    return sorted(os.listxattr(path, follow_symlinks=follow))


def remove_xattr(held: Held, path: bytes, name: bytes, follow: bool) -> None:
    os.removexattr(path, name, follow_symlinks=follow)


def set_umask(held: Held, mask: int) -> int:
    return os.umask(mask)


PATH_CALLS: Final[Mapping[str, Callable[..., object]]] = {
    "mkdir": make_directory,
    "rmdir": remove_directory,
    "mknod": make_node,
    "symlink": make_symlink,
    "readlink": read_symlink,
    "link": link,
    "unlink": unlink,
    "rename": rename,
    "chmod": change_mode,
    "chown": change_owner,
    "utimens": set_times,
    "truncate": truncate,
    "stat": status,
    "statx": extended_status,
    "access": access,
    "statfs": longest_name,
    "list": list_directory,
    "list_while_removing": list_while_removing,
    "setxattr": set_xattr,
    "getxattr": get_xattr,
    "listxattr": list_xattrs,
    "removexattr": remove_xattr,
    "umask": set_umask,
}


def _show(argument: object) -> str:
    if isinstance(argument, int) and not isinstance(argument, bool) and argument > 7:
        return oct(argument) if argument < 1 << 18 else hex(argument)
    return brief(argument)
