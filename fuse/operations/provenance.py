"""Which layer an object comes from, as extended attributes that no listing shows.

``user.snapfs.layer``      its number, 1 for the lowest layer; the upper is the highest
``user.snapfs.layers``     of a directory, all that are merged in it, highest first
``user.snapfs.directory``  the directory of that layer
``user.snapfs.path``       where it is in there, without a leading slash

The kernel's rules for ``user.`` attributes hold: files and directories only, and who
asks must be able to read them. Not listed, so that no copy of the tree takes them
along.
"""

from __future__ import annotations

import errno
import os

from snapfs.fuse.union.node import DETACHED, PINNED, Directory, Node
from snapfs.fuse.union.union import Union
from snapfs.light_typing import Final

SPACE: Final = b"user.snapfs."


def provenance(union: Union, node: Node, name: bytes) -> bytes:
    """Return the value of the attribute ``name``, which begins with :data:`SPACE`.

    Raises:
        OSError: ENODATA: there is no such attribute, or no name leads to the object
            any more.
    """
    word = name.removeprefix(SPACE)
    layers = union.stack.layers
    if word == b"layer":
        return b"%d" % (len(layers) - node.layer)
    if word == b"layers":
        return b" ".join(b"%d" % (len(layers) - index) for index in _merged(node))
    if word == b"directory":
        return layers[node.layer].path
    if word == b"path" and not node.flags & (DETACHED | PINNED):
        return _path(union, node)
    raise OSError(errno.ENODATA, os.strerror(errno.ENODATA), name)


def _merged(node: Node) -> tuple[int, ...]:
    if not isinstance(node, Directory):
        return (node.layer,)
    return ((0,) if node.has_upper else ()) + tuple(node.lowers)


def _path(union: Union, node: Node) -> bytes:
    if isinstance(node, Directory):
        return union.layer_path(node, node.layer)
    assert node.parent is not None  # only the root has none, and it is a directory
    directory = union.layer_path(node.parent, node.layer)
    return directory + b"/" + node.name if directory else node.name
