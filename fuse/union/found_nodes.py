"""Making nodes of what a lookup found in the layers."""

from __future__ import annotations

import os
import stat

from snapfs.fuse.union.data_places import note_place
from snapfs.fuse.union.lookup import FORMAT_MASK, Found
from snapfs.fuse.union.node import (
    IMPURE,
    LOWER_IMPURE,
    METACOPY,
    ROOT_ID,
    XATTR_WHITEOUTS,
    Directory,
    Node,
)
from snapfs.light_typing import TYPE_CHECKING, Final
from snapfs.overlay_format import ORIGIN
from snapfs.overlay_marks import Marks, path_of, stat_entry

if TYPE_CHECKING:
    from snapfs.fuse.union.union import Union

# One object for each kind, not one for each node.
KINDS: Final = {
    kind: kind
    for kind in (
        stat.S_IFREG,
        stat.S_IFDIR,
        stat.S_IFLNK,
        stat.S_IFCHR,
        stat.S_IFBLK,
        stat.S_IFIFO,
        stat.S_IFSOCK,
    )
}


def root_of(union: Union) -> Directory:
    """Return the root: all layers' roots merged, whatever their marks say.

    Raises:
        OSError: From reading the marks.
    """
    stack = union.stack
    has_upper = stack.upper is not None
    layer = stack.layers[0 if has_upper else 1]
    root = Directory(
        ROOT_ID,
        KINDS[stat.S_IFDIR],
        None,
        b"",
        layer.index,
        # The upper's, unlike that of other merged directories (ovl_get_root).
        union.numbers.shown(layer.index, layer.root_ino),
        lowers=union.shared(stack.lowers),
        has_upper=has_upper,
    )
    for index in (0, *stack.lowers) if has_upper else stack.lowers:
        root.flags |= _root_flags(union, index)
    return root


def _root_flags(union: Union, index: int) -> int:
    layer = union.stack.layers[index]
    if not layer.has_xattrs:
        return 0
    marks = Marks(path_of(layer.root_fd, b"."), union.stack.prefix)
    flags = 0
    if marks.is_impure:
        flags |= LOWER_IMPURE if index else IMPURE
    if index and marks.has_xattr_whiteouts:
        flags |= XATTR_WHITEOUTS
    return flags


def adopt(union: Union, parent: Directory, name: bytes, status: os.stat_result) -> Node:
    """Return a new node of what was made in the upper, merged with nothing."""
    kind = KINDS[status.st_mode & FORMAT_MASK]
    ino = union.numbers.shown(0, status.st_ino)
    nodeid = union.nodes.new_id()
    node = (
        Directory(nodeid, kind, parent, name, 0, ino, has_upper=True)
        if kind == stat.S_IFDIR
        else Node(nodeid, kind, parent, name, 0, ino)
    )
    union.nodes.add(node)
    return node


def take_in(union: Union, parent: Directory, name: bytes, found: Found) -> Node:
    """Return the node of what was found: a new one, or a hard link's.

    Raises:
        OSError: From the layers.
    """
    status = found.status
    kind = KINDS[status.st_mode & FORMAT_MASK]
    if kind == stat.S_IFDIR:
        return _take_in_directory(union, parent, name, found)
    nodes = union.nodes
    layer = found.places[0][0]
    if layer and not found.flags:  # most: no other name leads to it
        ino = union.numbers.shown(layer, status.st_ino)
        node = Node(nodes.new_id(), kind, parent, name, layer, ino)
        nodes.add(node)
        return node
    is_shared = layer == 0 and status.st_nlink > 1
    if is_shared:
        known = nodes.by_upper_inode.get(status.st_ino)
        if known is not None:
            nodes.alias(known, parent, name)
            return known
    ino = union.numbers.shown(layer, status.st_ino)
    if layer == 0 and (parent.flags & IMPURE or found.flags & METACOPY):
        own = _ino_of_metacopy(union, found) or ino
        ino = copied_up_ino(union, parent, name, kind, own)
    node = Node(nodes.new_id(), kind, parent, name, layer, ino)
    node.flags = found.flags
    if found.flags & METACOPY:
        note_place(union, node, parent, found)
    nodes.add(node)
    if is_shared:
        nodes.share(node, status.st_ino)
    return node


def _ino_of_metacopy(union: Union, found: Found) -> int:
    """Return the number of the lower file whose data an upper one shows, or 0.

    As ``ovl_getattr``: not that of a hard link, which several may have come from.
    """
    if found.lower is None or found.lower[0].st_nlink != 1:
        return 0
    status, layer = found.lower
    return union.numbers.shown(layer, status.st_ino)


def _take_in_directory(
    union: Union, parent: Directory, name: bytes, found: Found
) -> Directory:
    places = found.places
    layer = places[0][0]
    lowers = tuple([place[0] for place in places if place[0]])
    paths = None
    if any(path is not None for _, path in places):
        paths = tuple(
            path if path is not None else _path_in(union, parent, index, name)
            for index, path in places
            if index
        )
    directory = Directory(
        union.nodes.new_id(),
        KINDS[stat.S_IFDIR],
        parent,
        name,
        layer,
        union.numbers.shown(layer, found.status.st_ino),
        lowers=union.shared(lowers),
        has_upper=layer == 0,
        lower_paths=paths,
    )
    directory.flags = found.flags
    if layer == 0 and found.lower is not None:
        status, below = found.lower
        directory.ino = union.numbers.shown(below, status.st_ino)
    union.nodes.add(directory)
    if paths is not None:
        union.nodes.log.lower_paths(directory)
    return directory


def _path_in(union: Union, parent: Directory, layer: int, name: bytes) -> bytes:
    above = union.layer_path(parent, layer)
    return above + b"/" + name if above else name


def copied_up_ino(
    union: Union, parent: Directory, name: bytes, kind: int, ino: int
) -> int:
    """Return the number to show for an upper file, ``ino`` if it is its own."""
    path = path_of(union.directory_fd(parent, 0), name)
    origin = Marks(path, union.stack.prefix).value(ORIGIN)
    if origin is None:
        return ino
    number = union.numbers.of_origin(origin, kind)
    if number is None and not union.numbers.can_decode:
        number = _ino_below(union, parent, name, kind)
    return ino if number is None else number


def _ino_below(union: Union, parent: Directory, name: bytes, kind: int) -> int | None:
    """Return the number of what was copied up, if it still has the same name."""
    for layer in parent.lowers:
        status = stat_entry(union.directory_fd(parent, layer), name)
        if status is None:
            continue
        if status.st_mode & FORMAT_MASK != kind or status.st_nlink > 1:
            return None
        return union.numbers.shown(layer, status.st_ino)
    return None
