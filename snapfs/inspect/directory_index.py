"""The index of a directory that is a layer in overlayfs form.

By open directories only: a container may run on the layer, and put a symlink where a
directory was a moment ago.
"""

from __future__ import annotations

import os
import stat
from array import array
from typing import Final

from snapfs.errors import UnimplementedError
from snapfs.layer.extras import Extras
from snapfs.layer.index import COLUMNS, LayerIndex
from snapfs.layer.kinds import Flag, Kind
from snapfs.layer.layer_directories import LayerDirectories
from snapfs.layer.layer_search import below
from snapfs.layer.notes import Notes
from snapfs.layer.overlay_entries import KINDS
from snapfs.layer.shown_xattrs import shown_xattrs
from snapfs.overlay_format import (
    METACOPY,
    REDIRECT,
    XattrPrefix,
    is_whiteout,
    is_xattr_whiteout,
)
from snapfs.overlay_marks import Marks, path_of, stat_entry

# No tar has sockets; they are shown as the nearest thing.
_KINDS: Final = KINDS | {stat.S_IFSOCK: Kind.FIFO}
_ROOT: Final = 0


def directory_index(directory: str, prefix: XattrPrefix) -> LayerIndex:
    """Return the index of a directory; whiteouts and opaque marks are understood.

    A mark on the directory itself means nothing, as in the kernel.

    Raises:
        UnimplementedError: It holds a redirect or a metacopy of overlayfs.
        OSError: It cannot be read.
    """
    walk = _Walk(directory, prefix)
    try:
        return walk.run()
    finally:
        walk.directories.close()


class _Walk:
    """Reads one directory, level by level."""

    def __init__(self, directory: str, prefix: XattrPrefix) -> None:
        self.directories = LayerDirectories()
        self._top = directory
        self._prefix = prefix
        self._notes = Notes()
        self._columns = {name: array(code) for name, code in COLUMNS.items()}
        self._names = bytearray()
        self._texts = bytearray()
        self._extras = Extras()
        self._files: dict[tuple[int, int], list[int]] = {}

    def run(self) -> LayerIndex:
        columns = self._columns
        layer = self.directories.add(self._top)
        paths: dict[int, bytes] = {_ROOT: b""}
        root = self.directories.get(layer, b"")
        self._add(_ROOT, b"", b"", path_of(root, b"."), os.fstat(root))
        node = _ROOT
        while node < len(columns["kinds"]):
            columns["first_children"].append(len(columns["kinds"]))
            path = paths.pop(node, None)
            if path is not None:
                try:
                    paths |= self._enter(node, layer, path)
                except OSError as error:
                    raise self._named(error, path) from error
            node += 1
        columns["first_children"].append(len(columns["kinds"]))
        self._group()
        parts = {name: memoryview(column) for name, column in columns.items()}
        blobs = {
            "names": self._names,
            "texts": self._texts,
            "extra": self._extras.data,
        }
        parts |= {name: memoryview(bytes(blob)) for name, blob in blobs.items()}
        return LayerIndex(parts)

    def _enter(self, node: int, layer: int, path: bytes) -> dict[int, bytes]:
        """Note all that a directory holds; return the directories among it."""
        deeper = {}
        fd = self.directories.get(layer, path)
        for name in sorted(os.listdir(b"/proc/self/fd/%d" % fd)):
            status = stat_entry(fd, name)
            if status is None:
                continue  # removed since it was listed
            place = below(path, name)
            child = len(self._columns["kinds"])
            if self._add(node, name, place, path_of(fd, name), status):
                deeper[child] = place
        return deeper

    def _named(self, error: OSError, path: bytes) -> OSError:
        """Return the error with a path that the user knows."""
        where = os.path.join(self._top, os.fsdecode(path))
        return OSError(error.errno, error.strerror, where)

    def _add(
        self,
        parent: int,
        name: bytes,
        place: bytes,
        path: bytes,
        status: os.stat_result,
    ) -> bool:
        """Note one name; return whether it is a directory.

        ``place`` is where it is in the layer, ``path`` how it is reached.
        """
        kind = self._kind(path, status)
        node = len(self._columns["kinds"])
        self._names += name
        marks = Marks(path, self._prefix)
        flags = 0
        if kind is Kind.DIRECTORY and node != _ROOT and marks.is_opaque:
            flags = Flag.OPAQUE
        size = status.st_size if kind is Kind.FILE else 0
        data = 0
        if kind is Kind.SYMLINK:
            target = os.readlink(path)
            data, size = len(self._texts), len(target)
            self._texts += target
        elif kind in (Kind.CHARACTER_DEVICE, Kind.BLOCK_DEVICE):
            device = status.st_rdev
            data = os.major(device) << 32 | os.minor(device)
        if kind not in (Kind.DIRECTORY, Kind.WHITEOUT) and status.st_nlink > 1:
            self._files.setdefault((status.st_dev, status.st_ino), []).append(node)
        has_xattrs = kind is not Kind.WHITEOUT and not marks.is_empty
        values = {
            "parents": parent,
            "name_ends": len(self._names),
            "uids": status.st_uid,
            "gids": status.st_gid,
            "groups": 0,
            "extras": self._xattrs(marks, place, path) if has_xattrs else 0,
            "sizes": size,
            "mtimes": status.st_mtime_ns,
            "data": data,
            "modes": stat.S_IMODE(status.st_mode),
            "kinds": int(kind),
            "flags": flags,
        }
        for column, value in values.items():
            self._columns[column].append(value)
        return kind is Kind.DIRECTORY

    def _kind(self, path: bytes, status: os.stat_result) -> Kind:
        if is_whiteout(status) or is_xattr_whiteout(path, status, self._prefix):
            return Kind.WHITEOUT
        return _KINDS[stat.S_IFMT(status.st_mode)]

    def _xattrs(self, marks: Marks, place: bytes, path: bytes) -> int:
        for mark in (REDIRECT, METACOPY):
            if marks.value(mark) is not None:
                where = os.path.join(self._top, os.fsdecode(place))
                raise UnimplementedError(
                    f"{where!r} has the mark {self._prefix.attribute(mark)!r} of"
                    " overlayfs; directories with redirects or metacopies are not read"
                )
        found = shown_xattrs(path, self._prefix, self._notes)
        return self._extras.add(found, None) if found else 0

    def _group(self) -> None:
        groups = (nodes for nodes in self._files.values() if len(nodes) > 1)
        for number, nodes in enumerate(groups, 1):
            for node in nodes:
                self._columns["groups"][node] = number
