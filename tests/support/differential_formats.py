"""Layers with the marks that kernel overlayfs reads and the engine never writes.

Whiteouts of the second form, files of attributes alone (``metacopy``), whose content
is in the layer below or where a redirect leads, and a data-only layer for the latter.
"""

from __future__ import annotations

import os
import random
from typing import Final

from support.differential_layers import LayerMaker, old_time
from support.tree_changes import Change, Directory, File, ModifiedAt, Sized, Xattr

DATA_SIZES: Final = (1, 4096, 4097, 20_000, 300_001, 1_500_000)
_DATA_DIRECTORY: Final = "data"


def make_data(chosen: random.Random) -> list[Change]:
    """Return the changes that fill the data-only layer."""
    changes: list[Change] = [Directory(_DATA_DIRECTORY)]
    for number, size in enumerate(DATA_SIZES):
        path = f"{_DATA_DIRECTORY}/{number}"
        changes += [
            File(path, chosen.randbytes(size)),
            ModifiedAt(path, old_time(chosen)),
        ]
    return changes


class FormatLayerMaker(LayerMaker):
    """Makes such layers.

    Not the upper: the kernel makes no such whiteouts, follows redirects to data-only
    layers from lowers alone, and writes its own metacopy files with an origin.
    """

    def __init__(self, chosen: random.Random, prefix: str) -> None:
        super().__init__(chosen, prefix)
        self._prefix = prefix
        self._sizes: dict[bytes, int] = {}

    def _changes(self, path: bytes, kind: str) -> list[Change]:
        below = self._sizes.pop(path, 0)
        name = os.fsdecode(path)
        draw = self._chosen.random()
        if kind == "whiteout" and draw < 0.5 and not self.is_upper:
            return self._xattr_whiteout(path, name)
        is_lower_file = kind == "file" and not self.is_upper
        if is_lower_file and draw < 0.15:
            return self._remote(name)
        if is_lower_file and draw < 0.6 and below and self._shows(path):
            self._sizes[path] = below
            return self._metacopy(name, below)
        changes = super()._changes(path, kind)
        first = changes[0]
        if kind == "file" and isinstance(first, File):
            self._sizes[path] = len(first.content)
        return changes

    def _shows(self, path: bytes) -> bool:
        """Tell whether a file of that path is right below."""
        parent = os.path.dirname(path)
        return self._below.get(path) == "file" and self._is_merged(parent)

    def _xattr_whiteout(self, path: bytes, name: str) -> list[Change]:
        parent = os.fsdecode(os.path.dirname(path)) or "."
        return [
            File(name),
            Xattr(name, f"{self._prefix}.overlay.whiteout", b"y"),
            # So that listings look for them.
            Xattr(parent, f"{self._prefix}.overlay.opaque", b"x"),
        ]

    def _metacopy(self, name: str, size: int) -> list[Change]:
        mark = f"{self._prefix}.overlay.metacopy"
        return [File(name), Sized(name, size), Xattr(name, mark, b"")]

    def _remote(self, name: str) -> list[Change]:
        number = self._chosen.randrange(len(DATA_SIZES))
        target = f"/{_DATA_DIRECTORY}/{number}".encode()
        return [
            *self._metacopy(name, DATA_SIZES[number]),
            Xattr(name, f"{self._prefix}.overlay.redirect", target),
        ]
