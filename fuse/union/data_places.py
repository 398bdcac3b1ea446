"""Where the data of a file is: in itself, or in a file below (``metacopy``).

A lookup tells by the blocks of a file and the marks of its directory. A small file
whose attributes take a block of their own can pass for one with data, where nobody has
marked the directory: so the file itself is asked before its data is opened.
"""

from __future__ import annotations

import errno
import os
import stat

from snapfs.fuse.union.descriptors import open_beneath
from snapfs.fuse.union.lookup import Found, may_be_attributes
from snapfs.fuse.union.node import LOWER_IMPURE, METACOPY
from snapfs.fuse.union.search import find
from snapfs.light_typing import TYPE_CHECKING
from snapfs.overlay_format import METACOPY as METACOPY_MARK

if TYPE_CHECKING:
    from snapfs.fuse.union.node import Directory, Node
    from snapfs.fuse.union.union import Union


def open_data(union: Union, node: Node, flags: int) -> int:
    """Open the file that has the data of ``node``; the caller owns it.

    Raises:
        OSError: EIO, EPERM, it is below and cannot be found; or from openat(2).
    """
    if not node.flags & METACOPY:
        fd, name = union.place(node)
        fd = os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
        try:
            if not node.layer or not _lacks_data(union, node, fd, flags):
                return fd
            _find_data(union, node)
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
    layer, path = union.data_places[node.nodeid]
    return open_beneath(union.stack.layers[layer].root_fd, path, flags)


def note_place(union: Union, node: Node, parent: Directory, found: Found) -> None:
    """Note that ``node`` has its data in the last of the places that were found."""
    layer, path = found.places[-1]
    if path is None:
        above = union.layer_path(parent, layer)
        path = above + b"/" + node.name if above else node.name
    union.data_places[node.nodeid] = (layer, path)
    union.nodes.log.data_place(node.nodeid, layer, path)


def _lacks_data(union: Union, node: Node, fd: int, flags: int) -> bool:
    layer = union.stack.layers[node.layer]
    if not layer.has_xattrs or layer.is_plain:
        return False
    # What was opened to be known by alone (``O_PATH``) is asked by a slow way only.
    is_named = bool(flags & os.O_PATH)
    names = () if is_named else os.listxattr(fd)
    if not names and not is_named:
        return False
    mark = union.stack.prefix.attribute(METACOPY_MARK)
    if not is_named and mark not in names:
        return False
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or not may_be_attributes(status):
        return False
    return not is_named or mark in os.listxattr(b"/proc/self/fd/%d" % fd)


def _find_data(union: Union, node: Node) -> None:
    """Find the data of a lower file that turned out to have none."""
    parent = node.parent
    assert parent is not None
    if not parent.flags & LOWER_IMPURE:
        parent.flags |= LOWER_IMPURE  # others there may be such files, too
        union.nodes.changed(parent)
    found = find(union, parent, node.name, node.layer)
    if found is None or not found.flags & METACOPY or found.places[0][0] != node.layer:
        raise OSError(errno.EIO, "no data for a metacopy", node.name)
    node.flags |= METACOPY
    note_place(union, node, parent, found)
    union.nodes.changed(node)
