"""The index of a directory that is a layer in overlayfs form."""

from __future__ import annotations

import os
import stat
from array import array
from typing import Final

from snapfs.errors import UnimplementedError
from snapfs.layer.extras import Extras
from snapfs.layer.index import COLUMNS, LayerIndex
from snapfs.layer.kinds import Flag, Kind
from snapfs.overlay_format import (
    METACOPY,
    REDIRECT,
    XattrPrefix,
    is_opaque,
    is_whiteout,
    is_xattr_whiteout,
)

_KINDS: Final = {
    stat.S_IFREG: Kind.FILE,
    stat.S_IFDIR: Kind.DIRECTORY,
    stat.S_IFLNK: Kind.SYMLINK,
    stat.S_IFCHR: Kind.CHARACTER_DEVICE,
    stat.S_IFBLK: Kind.BLOCK_DEVICE,
    stat.S_IFIFO: Kind.FIFO,
    # No tar has sockets; they are shown as the nearest thing.
    stat.S_IFSOCK: Kind.FIFO,
}


def directory_index(directory: str, prefix: XattrPrefix) -> LayerIndex:
    """Return the index of a directory; whiteouts and opaque marks are understood.

    Raises:
        UnimplementedError: It holds a redirect or a metacopy of overlayfs.
        OSError: It cannot be read.
    """
    return _Walk(directory, prefix).run()


class _Walk:
    """Reads one directory, level by level."""

    def __init__(self, directory: str, prefix: XattrPrefix) -> None:
        self._top = os.fsencode(directory)
        self._prefix = prefix
        self._marks = tuple(os.fsencode(f"{p}.overlay.") for p in ("trusted", "user"))
        self._columns = {name: array(code) for name, code in COLUMNS.items()}
        self._names = bytearray()
        self._texts = bytearray()
        self._extras = Extras()
        self._files: dict[tuple[int, int], list[int]] = {}

    def run(self) -> LayerIndex:
        columns = self._columns
        self._add(0, b"", self._top, os.stat(self._top))
        paths: dict[int, bytes] = {0: self._top}
        node = 0
        while node < len(columns["kinds"]):
            columns["first_children"].append(len(columns["kinds"]))
            path = paths.pop(node, None)
            if path is not None:
                for name in sorted(os.listdir(path)):
                    child = os.path.join(path, name)
                    if self._add(node, name, child, os.lstat(child)):
                        paths[len(columns["kinds"]) - 1] = child
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

    def _add(
        self, parent: int, name: bytes, path: bytes, status: os.stat_result
    ) -> bool:
        """Note one name; return whether it is a directory."""
        kind = self._kind(path, status)
        node = len(self._columns["kinds"])
        self._names += name
        flags = 0
        if kind is Kind.DIRECTORY and is_opaque(path, self._prefix):
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
        values = {
            "parents": parent,
            "name_ends": len(self._names),
            "uids": status.st_uid,
            "gids": status.st_gid,
            "groups": 0,
            "extras": self._xattrs(path, kind),
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

    def _xattrs(self, path: bytes, kind: Kind) -> int:
        if kind is Kind.WHITEOUT:
            return 0
        found = {}
        for text in os.listxattr(path, follow_symlinks=False):
            name = os.fsencode(text)
            if text in (
                self._prefix.attribute(REDIRECT),
                self._prefix.attribute(METACOPY),
            ):
                raise UnimplementedError(
                    f"{os.fsdecode(path)!r} has the mark {text!r} of overlayfs;"
                    " directories with redirects or metacopies are not read"
                )
            if not name.startswith(self._marks):
                found[name] = os.getxattr(path, text, follow_symlinks=False)
        return self._extras.add(found, None) if found else 0

    def _group(self) -> None:
        groups = (nodes for nodes in self._files.values() if len(nodes) > 1)
        for number, nodes in enumerate(groups, 1):
            for node in nodes:
                self._columns["groups"][node] = number
