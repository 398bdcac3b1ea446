"""Whole trees as the differential fuzzer sees them, and what differs between two."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import stat
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Final

from support.differential_operations import Sight
from support.differential_syscalls import all_entries

GHOST: Final = "listed, but not there"
_LABEL: Final = "security.selinux"  # set by the host's policy


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """All that is compared of one name.

    Attributes:
        kind: The type by lstat(2), or :data:`GHOST`.
        d_type: What the listing said.
        d_ino: The inode number in the listing.
        content: A file's hash, a symlink's target.
        links: The names of one object that has several, else none.
    """

    kind: str
    d_type: int
    d_ino: int
    mode: int = 0
    uid: int = 0
    gid: int = 0
    size: int = 0
    nlink: int = 0
    rdev: int = 0
    mtime: int = 0
    ino: int = 0
    content: bytes = b""
    xattrs: tuple[tuple[str, bytes], ...] = ()
    links: tuple[bytes, ...] = ()

    @property
    def is_special(self) -> bool:
        """Whether it is neither a file nor a directory."""
        return self.kind not in ("file", "directory")


View = dict[bytes, Seen]
_FIELDS: Final = tuple(field.name for field in dataclasses.fields(Seen))


def read_view() -> View:
    """Return every name below the current directory; b"." is that directory."""
    view: View = {b".": _see(b".", stat.S_IFDIR >> 12, os.lstat(b".").st_ino)}
    todo = [b"."]
    while todo:
        directory = todo.pop()
        for name, d_type, d_ino in _children(directory):
            path = name if directory == b"." else directory + b"/" + name
            view[path] = seen = _see(path, d_type, d_ino)
            if seen.kind == "directory":
                todo.append(path)
    return view


def shown(view: View, sight: Sight) -> View:
    """Return ``view`` with what only one mount can show taken out of it."""
    groups: defaultdict[int, list[bytes]] = defaultdict(list)
    for path, seen in view.items():
        shows = sight.shows_number(is_special=seen.is_special)
        if seen.kind != "directory" and seen.nlink > 1 and shows:
            groups[seen.ino].append(path)
    return {
        path: dataclasses.replace(
            seen,
            d_ino=0,
            ino=sight.ino(seen.ino, is_special=seen.is_special),
            mtime=sight.time(seen.mtime),
            links=tuple(sorted(groups.get(seen.ino, ()))) if seen.nlink > 1 else (),
        )
        for path, seen in view.items()
    }


def differing(
    expected: View, actual: View
) -> Iterator[tuple[bytes, str, object, object]]:
    """Yield path, field, expected and actual value of all that differs."""
    for path in sorted(expected.keys() | actual.keys()):
        want, have = expected.get(path), actual.get(path)
        if want is None or have is None:
            yield path, "presence", want and want.kind, have and have.kind
        elif want != have:
            for field in _FIELDS:
                left, right = getattr(want, field), getattr(have, field)
                if left != right:
                    yield path, field, left, right


def _children(directory: bytes) -> Iterator[tuple[bytes, int, int]]:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        found = all_entries(fd)
    finally:
        os.close(fd)
    for name, d_type, d_ino in found:
        if name not in (b".", b".."):
            yield name, d_type, d_ino


def _see(path: bytes, d_type: int, d_ino: int) -> Seen:
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return Seen(GHOST, d_type, d_ino)
    kind = stat.S_IFMT(status.st_mode)
    is_directory = kind == stat.S_IFDIR
    return Seen(
        kind=_KINDS[kind],
        d_type=d_type,
        d_ino=d_ino,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        size=0 if is_directory else status.st_size,
        nlink=0 if is_directory else status.st_nlink,
        rdev=status.st_rdev if kind in (stat.S_IFCHR, stat.S_IFBLK) else 0,
        mtime=status.st_mtime_ns,
        ino=status.st_ino,
        content=_CONTENT.get(kind, _nothing)(path),
        xattrs=tuple(_xattrs(path)),
    )


def _xattrs(path: bytes) -> Iterator[tuple[str, bytes]]:
    for name in sorted(os.listxattr(path, follow_symlinks=False)):
        if name != _LABEL:
            yield name, os.getxattr(path, name, follow_symlinks=False)


def _digest(path: bytes) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return hashlib.sha256(file.readall()).digest()[:8]


def _nothing(path: bytes) -> bytes:
    return b""


_KINDS: Final = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
}
_CONTENT: Final[dict[int, Callable[[bytes], bytes]]] = {
    stat.S_IFREG: _digest,
    stat.S_IFLNK: os.readlink,
}
