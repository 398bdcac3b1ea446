"""Merging the entries of a directory from its layers."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import count

from snapfs.fuse.union.listing import (
    DT_DIR,
    DT_LNK,
    DT_REG,
    DT_WHT,
    Listing,
    Seen,
    d_type,
)
from snapfs.fuse.union.lookup import is_hidden
from snapfs.fuse.union.node import IMPURE, REMOVED, XATTR_WHITEOUTS, Directory
from snapfs.light_typing import TYPE_CHECKING
from snapfs.overlay_format import is_whiteout
from snapfs.overlay_marks import stat_entry

if TYPE_CHECKING:
    from snapfs.fuse.union.indexed import KnownEntries
    from snapfs.fuse.union.layers import Layer
    from snapfs.fuse.union.union import Union


def read_listing(union: Union, directory: Directory) -> Listing:
    """Merge the entries of ``directory`` from its layers, whiteouts taken out.

    Raises:
        OSError: From the layers.
    """
    found: dict[bytes, Seen] = {}
    hidden: set[bytes] = set()
    records: dict[int, memoryview] = {}
    positions: dict[int, dict[bytes, int]] = {}
    if directory.flags & REMOVED:
        stack: tuple[int, ...] = ()
    else:
        stack = (0, *directory.lowers) if directory.has_upper else directory.lowers
    for index in stack:
        known = _known(union, directory, index)
        if known is None:
            has = _scan(union, directory, index)
        else:
            has = known.entries
            records[index] = known.records
            stride = len(known.records) // max(len(has), 1)
            names = (name for name, _, _ in has)
            positions[index] = dict(zip(names, count(0, stride)))
        _merge(union, directory, index, has, found, hidden)
    return Listing(found, directory.layer, records, positions)


def _merge(
    union: Union,
    directory: Directory,
    index: int,
    has: Iterable[tuple[bytes, int, int]],
    found: dict[bytes, Seen],
    hidden: set[bytes],
) -> None:
    """Add what a layer has of ``directory`` below what those above it have."""
    is_top = not found and not hidden
    # Of these the number may be another: that of the object that was copied up.
    is_impure = index == 0 and bool(directory.flags & IMPURE)
    shown = union.numbers.shown if union.numbers.has_high_bits else None
    for name, kind, ino in has:
        if not is_top:
            above = found.get(name)
            if above is not None:
                if kind == above[0] == DT_DIR and above[1] == 0:
                    found[name] = (DT_DIR, 0, 0)  # merged perhaps: the lower's number
                continue
            if name in hidden:
                continue
        if kind == DT_WHT:
            hidden.add(name)
            continue
        if is_impure:
            ino = 0
        elif shown is not None:
            ino = shown(index, ino)
        found[name] = (kind, index, ino)


def _known(union: Union, directory: Directory, index: int) -> KnownEntries | None:
    source = union.stack.layers[index].source
    if source is None or not index:
        return None
    return source.known(union.layer_path(directory, index))


def _scan(
    union: Union, directory: Directory, index: int
) -> list[tuple[bytes, int, int]]:
    layer = union.stack.layers[index]
    fd = union.directory_fd(directory, index)
    entries = scan(fd)
    if index and directory.flags & XATTR_WHITEOUTS:
        return [
            (name, DT_WHT if _is_whiteout(union, fd, name, kind, layer) else kind, ino)
            for name, kind, ino in entries
        ]
    return entries


def _is_whiteout(union: Union, fd: int, name: bytes, kind: int, layer: Layer) -> bool:
    if kind != DT_REG:
        return kind == DT_WHT
    status = stat_entry(fd, name)
    return status is None or is_hidden(fd, name, status, layer, union)


def scan(directory_fd: int) -> list[tuple[bytes, int, int]]:
    """Return name, ``d_type`` and inode number of each entry of an open directory.

    A whiteout, a character device 0/0, has the type ``DT_WHT``. The descriptor may be
    an ``O_PATH`` one. An entry that goes away meanwhile is left out.

    Raises:
        OSError: From reading the directory.
    """
    found: list[tuple[bytes, int, int]] = []
    add = found.append
    with os.scandir(b"/proc/self/fd/%d" % directory_fd) as iterator:
        for entry in iterator:
            if entry.is_file(follow_symlinks=False):
                kind = DT_REG
            elif entry.is_dir(follow_symlinks=False):
                kind = DT_DIR
            elif entry.is_symlink():
                kind = DT_LNK
            else:
                status = stat_entry(directory_fd, entry.name)
                if status is None:
                    continue
                kind = DT_WHT if is_whiteout(status) else d_type(status.st_mode)
            add((entry.name, kind, entry.inode()))
    return found
