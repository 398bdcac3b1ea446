"""The marks of what was copied up: ``origin`` on the copy, ``impure`` above it.

By them the number of an inode stays what it was, here and in a kernel mount; they
are byte for byte what the kernel writes (``ovl_set_origin``, ``ovl_set_impure``).
"""

from __future__ import annotations

import errno
import os

from snapfs.file_syscalls import name_to_handle_at
from snapfs.fuse.union.inode_numbers import encode_origin, filesystem_uuid
from snapfs.fuse.union.node import IMPURE, Directory
from snapfs.light_typing import TYPE_CHECKING
from snapfs.overlay_format import ORIGIN
from snapfs.overlay_marks import IMPURE as IMPURE_MARK
from snapfs.overlay_marks import path_of

if TYPE_CHECKING:
    from snapfs.fuse.union.union import Union


class OriginMarks:
    """Writes the marks in the upper of a union."""

    __slots__ = ("_impure_mark", "_origin_mark", "_union", "_uuids")

    def __init__(self, union: Union) -> None:
        self._union = union
        self._origin_mark = union.stack.prefix.attribute(ORIGIN)
        self._impure_mark = union.stack.prefix.attribute(IMPURE_MARK)
        self._uuids: dict[int, bytes] = {}

    def origin_of(self, layer: int, dir_fd: int, name: bytes) -> bytes:
        """Return the ``origin`` mark for a lower object; empty: unknown, but copied."""
        try:
            kind, handle = name_to_handle_at(dir_fd, name)
        except OSError:
            return b""  # as ovl_set_origin(): a filesystem without handles
        uuid = self._uuids.get(layer)
        if uuid is None:
            root_fd = self._union.stack.layers[layer].root_fd
            uuid = self._uuids[layer] = filesystem_uuid(root_fd)
        return encode_origin(uuid, kind, handle)

    def set_origin(self, target: int | bytes, origin: bytes) -> None:
        """Write the ``origin`` mark where the filesystem and the kind allow it."""
        try:
            if isinstance(target, int):
                os.setxattr(target, self._origin_mark, origin)
            else:
                os.setxattr(target, self._origin_mark, origin, follow_symlinks=False)
        except OSError as error:
            # EPERM: user attributes of links and devices. The number changes then.
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP):
                raise

    def set_impure(self, directory: Directory) -> None:
        """Note in the upper that entries of ``directory`` may have an origin."""
        if directory.flags & IMPURE:
            return
        path = path_of(self._union.directory_fd(directory, 0), b".")
        try:
            os.setxattr(path, self._impure_mark, b"y")
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
        directory.flags |= IMPURE
        self._union.nodes.changed(directory)
