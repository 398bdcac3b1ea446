"""What a lookup sees in one layer, and what it comes to.

Searching through the layers is in :mod:`snapfs.fuse.union.search`.
"""

from __future__ import annotations

import os
import stat

from snapfs.light_typing import TYPE_CHECKING, Final
from snapfs.overlay_format import WHITEOUT
from snapfs.overlay_marks import Marks, path_of

if TYPE_CHECKING:
    from snapfs.fuse.union.layers import Layer
    from snapfs.fuse.union.union import Union

FORMAT_MASK: Final = 0o170000
_REGULAR: Final = stat.S_IFREG
_CHARACTER: Final = stat.S_IFCHR
_SECTOR: Final = 512
_ATTRIBUTES_MAX: Final = 1 << 16
"""``XATTR_LIST_MAX``, and what one value may take: more no filesystem keeps so."""


class Found:
    """What a lookup came to.

    Attributes:
        status: Of the object in the highest layer that has it.
        places: (layer, path) of it in the layers that count, highest first: of each
            directory merged, or of a metacopy file and then of its data. A path of
            None is the name in the parent's directory there.
        flags: Of the node (``IMPURE``, ``METACOPY`` ...).
        lower: The status of what was found next below, and the layer that has it.
    """

    __slots__ = ("flags", "lower", "places", "status")

    def __init__(self, status: os.stat_result, layer: int) -> None:
        self.status = status
        self.places: list[tuple[int, bytes | None]] = [(layer, None)]
        self.flags = 0
        self.lower: tuple[os.stat_result, int] | None = None


def may_be_metacopy(
    status: os.stat_result, layer: Layer, is_impure: int | bool
) -> bool:
    """Tell whether a regular file can hold attributes without their data.

    Such a file is all hole. Attributes beside the inode take blocks, which look like
    data of a small file; but the kernel marks the directories in which it makes such
    files as impure. Of the files of lowers that are not in one, those with such blocks
    are asked when they are opened (:mod:`snapfs.fuse.union.data_places`).
    """
    if not layer.has_xattrs:
        return False
    if is_impure:
        return True
    size = status.st_size
    if layer.is_upper and may_be_attributes(status):
        return True
    return size > 0 and (not layer.shows_holes or status.st_blocks * _SECTOR < size)


def may_be_attributes(status: os.stat_result) -> bool:
    """Tell whether the blocks of a file may be those of its attributes alone."""
    return status.st_size > 0 and status.st_blocks * _SECTOR <= _ATTRIBUTES_MAX


def is_hidden(
    directory_fd: int, name: bytes, status: os.stat_result, layer: Layer, union: Union
) -> bool:
    """Tell whether an entry is a whiteout, of either form.

    Of the second form the kernel makes none, and looks for none in listings of the
    upper; but it hides those that are there from every lookup.
    """
    mode = status.st_mode & FORMAT_MASK
    if mode == _CHARACTER:
        return status.st_rdev == 0
    if mode != _REGULAR or status.st_size or not layer.has_xattrs:
        return False
    marks = Marks(path_of(directory_fd, name), union.stack.prefix)
    return marks.value(WHITEOUT) is not None


def is_hidden_in_upper(
    directory_fd: int, name: bytes, status: os.stat_result, union: Union
) -> bool:
    """Tell whether an entry of the upper is a whiteout, of either form."""
    return is_hidden(directory_fd, name, status, union.stack.layers[0], union)
