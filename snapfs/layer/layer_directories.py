"""The directories of several layers, open: opened one component at a time, and kept.

A directory is named by the number of its layer and its path there. No symlink is
followed, whatever a layer holds or becomes meanwhile.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from typing import Final

_FLAGS: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ROOT_FLAGS: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC

# A walk asks for one directory of each layer of a chain, over and over; RLIMIT_NOFILE
# is 1,024 by default, and the roots of 500 layers (OVL_MAX_STACK) count, too.
_OPEN: Final = 256


class LayerDirectories:
    """Layers by number, and those of their directories that were used last.

    Descriptors are ``O_PATH`` and lent: one holds through the next call, no longer.
    """

    def __init__(self) -> None:
        self._roots: list[int] = []
        self._numbers: dict[tuple[int, int], int] = {}
        self._open: OrderedDict[tuple[int, bytes], int] = OrderedDict()

    def add(self, path: str | bytes) -> int:
        """Open a layer; return its number, the same one for the same directory.

        Raises:
            OSError: It cannot be opened, or is no directory.
        """
        root = os.open(path, _ROOT_FLAGS)
        status = os.fstat(root)
        number = self._numbers.setdefault(
            (status.st_dev, status.st_ino), len(self._roots)
        )
        if number == len(self._roots):
            self._roots.append(root)
        else:
            os.close(root)
        return number

    def get(self, layer: int, path: bytes) -> int:
        """Return a descriptor of the directory ``path``; b"" is the layer's root.

        Raises:
            OSError: It cannot be opened, or is no directory any more.
        """
        if not path:
            return self._roots[layer]
        fd = self._open.get((layer, path))
        if fd is None:
            return self._enter(layer, path)
        self._open.move_to_end((layer, path))
        return fd

    def _enter(self, layer: int, path: bytes) -> int:
        """Open a directory from the nearest one above it that is open."""
        names: list[bytes] = []
        at = path
        while at and (layer, at) not in self._open:
            at, _, name = at.rpartition(b"/")
            names.append(name)
        fd = self.get(layer, at)
        while names:
            name = names.pop()
            fd = os.open(name, _FLAGS, dir_fd=fd)
            at = at + b"/" + name if at else name
            self._open[layer, at] = fd
            if len(self._open) > _OPEN:
                os.close(self._open.popitem(last=False)[1])
        return fd

    def close(self) -> None:
        """Close all of them."""
        while self._open:
            os.close(self._open.popitem()[1])
        while self._roots:
            os.close(self._roots.pop())
