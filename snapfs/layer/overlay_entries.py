"""The entries of a layer that lies on disk in overlayfs form, in their order.

For layers that need no look at those below: what unpacking made, and plain
directories. Directories are reached through their parents' descriptors, no symlink is
followed, and of the way down a bounded number is open.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from snapfs import overlay_format
from snapfs.errors import FailedPreconditionError, UnimplementedError
from snapfs.layer.file_body import FILE_FLAGS, FileBody
from snapfs.layer.kinds import Kind
from snapfs.layer.notes import Notes
from snapfs.layer.shown_xattrs import shown_xattrs
from snapfs.layer.written import ROOT_PATH, LayerEntry
from snapfs.overlay_format import XattrPrefix, is_whiteout
from snapfs.overlay_marks import Marks, path_of
from snapfs.tar.member import shown

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_LEVELS: Final = 64

KINDS: Final = {
    stat.S_IFREG: Kind.FILE,
    stat.S_IFDIR: Kind.DIRECTORY,
    stat.S_IFLNK: Kind.SYMLINK,
    stat.S_IFCHR: Kind.CHARACTER_DEVICE,
    stat.S_IFBLK: Kind.BLOCK_DEVICE,
    stat.S_IFIFO: Kind.FIFO,
}
"""What a tar can hold, by file type; a socket is not among it."""


def overlay_entries(
    directory: int, prefix: XattrPrefix, notes: Notes, *, root_opaque: bool = False
) -> Iterator[LayerEntry]:
    """Yield the entries of the layer in an open directory, whiteouts and all.

    The body of an entry may be read until the next one is asked for. Sockets, which
    no tar holds, are left out with a note. ``root_opaque`` says that the layer hides
    all below it, which no mark on disk can.

    Raises:
        UnimplementedError: A directory is redirected, or a file is a metacopy: what
            it holds depends on the layers below.
        FailedPreconditionError: The layer changed while it was read.
        OSError: It cannot be read.
    """
    walk = _Walk(directory, prefix, notes)
    try:
        yield from walk.run(root_opaque)
    finally:
        walk.close()


@dataclass(slots=True)
class _Level:
    """A directory on the way down.

    Attributes:
        fd: Open; -1 while too much is open below it.
        status: Of the directory, to know it again.
        path: With a slash at its end, b"" for the root.
        names: What is still to be visited.
    """

    fd: int
    status: os.stat_result
    path: bytes
    names: Iterator[tuple[bytes, os.stat_result, Kind]]


class _Walk:
    def __init__(self, root: int, prefix: XattrPrefix, notes: Notes) -> None:
        self._root = root
        self._prefix = prefix
        self._notes = notes
        self._levels: list[_Level] = []

    def run(self, root_opaque: bool) -> Iterator[LayerEntry]:
        root = self._enter(os.open(b".", _DIRECTORY, dir_fd=self._root), ROOT_PATH)
        root.is_opaque = root_opaque
        yield root
        while self._levels:
            level = self._levels[-1]
            found = next(level.names, None)
            if found is None:
                self._leave()
                continue
            name, status, kind = found
            if kind is Kind.DIRECTORY:
                fd = os.open(name, _DIRECTORY, dir_fd=level.fd)
                yield self._enter(fd, level.path + name)
            elif kind is Kind.FILE:
                yield from self._file(level, name)
            else:
                yield self._special(level, name, status, kind)

    def close(self) -> None:
        while self._levels:
            fd = self._levels.pop().fd
            if fd >= 0:
                os.close(fd)

    def _enter(self, fd: int, path: bytes) -> LayerEntry:
        """Go into an open directory, which is this walk's from here on."""
        try:
            marks = Marks(b"/proc/self/fd/%d/." % fd, self._prefix)
            _refuse(marks, path)
            status = os.fstat(fd)
            below = path + b"/" if path else b""
            names = self._list(fd, below, has_marked=marks.has_xattr_whiteouts)
            xattrs = {} if marks.is_empty else self._xattrs(fd)
        except BaseException:
            os.close(fd)
            raise
        self._levels.append(_Level(fd, status, below, names))
        if len(self._levels) > _OPEN_LEVELS:
            far = self._levels[-1 - _OPEN_LEVELS]
            os.close(far.fd)
            far.fd = -1
        return LayerEntry(
            path,
            Kind.DIRECTORY,
            stat.S_IMODE(status.st_mode),
            status.st_uid,
            status.st_gid,
            status.st_mtime_ns,
            xattrs=xattrs,
            is_opaque=bool(path) and marks.is_opaque,
        )

    def _leave(self) -> None:
        """Go back to the directory above."""
        below = self._levels.pop()
        try:
            if not self._levels or self._levels[-1].fd >= 0:
                return
            above = self._levels[-1]
            above.fd = os.open(b"..", _DIRECTORY, dir_fd=below.fd)
            if not os.path.samestat(os.fstat(above.fd), above.status):
                raise FailedPreconditionError(
                    f"directory {shown(below.path)} was moved while it was read"
                )
        finally:
            os.close(below.fd)

    def _list(
        self, fd: int, below: bytes, *, has_marked: bool
    ) -> Iterator[tuple[bytes, os.stat_result, Kind]]:
        """Return the names in a directory with what they are, whiteouts first."""
        found = []
        with os.scandir(fd) as entries:
            for entry in entries:
                name = os.fsencode(entry.name)
                status = entry.stat(follow_symlinks=False)
                kind = KINDS.get(stat.S_IFMT(status.st_mode))
                if kind is Kind.CHARACTER_DEVICE and is_whiteout(status):
                    kind = Kind.WHITEOUT
                elif has_marked and kind is Kind.FILE and not status.st_size:
                    marks = Marks(path_of(fd, name), self._prefix)
                    if marks.value(overlay_format.WHITEOUT) is not None:
                        kind = Kind.WHITEOUT
                if kind is None:
                    self._notes.add("sockets left out: no layer can hold them")
                else:
                    found.append((kind is not Kind.WHITEOUT, name, status, kind))
        found.sort(key=lambda item: item[:2])
        return iter([(name, status, kind) for _, name, status, kind in found])

    def _xattrs(self, target: int | bytes) -> dict[bytes, bytes]:
        return shown_xattrs(target, self._prefix, self._notes)

    def _file(self, level: _Level, name: bytes) -> Iterator[LayerEntry]:
        path = level.path + name
        fd = os.open(name, FILE_FLAGS, dir_fd=level.fd)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise FailedPreconditionError(
                    f"file {shown(path)} was replaced while the layer was read"
                )
            marks = Marks(path_of(level.fd, name), self._prefix)
            _refuse(marks, path)
            yield LayerEntry(
                path,
                Kind.FILE,
                stat.S_IMODE(status.st_mode),
                status.st_uid,
                status.st_gid,
                status.st_mtime_ns,
                status.st_size,
                xattrs={} if marks.is_empty else self._xattrs(fd),
                inode=_inode(status),
                body=FileBody(fd, status, path),
            )
        finally:
            os.close(fd)

    def _special(
        self, level: _Level, name: bytes, status: os.stat_result, kind: Kind
    ) -> LayerEntry:
        path = level.path + name
        if kind is Kind.WHITEOUT:
            return LayerEntry(path, kind)
        target = b""
        if kind is Kind.SYMLINK:
            target = os.readlink(name, dir_fd=level.fd)
        device = (0, 0)
        if kind in (Kind.CHARACTER_DEVICE, Kind.BLOCK_DEVICE):
            device = os.major(status.st_rdev), os.minor(status.st_rdev)
        return LayerEntry(
            path,
            kind,
            stat.S_IMODE(status.st_mode),
            status.st_uid,
            status.st_gid,
            status.st_mtime_ns,
            0,
            target,
            device,
            self._xattrs(path_of(level.fd, name)),
            inode=_inode(status),
        )


def _inode(status: os.stat_result) -> tuple[int, int] | None:
    return (status.st_dev, status.st_ino) if status.st_nlink > 1 else None


def _refuse(marks: Marks, path: bytes) -> None:
    """Refuse what only the layers below can tell."""
    if marks.is_empty:
        return
    for found, what in (
        (marks.redirect() is not None, "a redirect"),
        (marks.is_metacopy(), "a metacopy"),
    ):
        if found:
            raise UnimplementedError(
                f"{shown(path)} is {what}: what it holds lies in a layer below"
            )
