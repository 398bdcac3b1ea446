"""Listings of a layer from its ``dirindex``, without a system call for an entry.

The unpacker leaves one beside the ``fs`` of each snapshot that it makes (see
:mod:`snapfs.layer.dirindex`). Nothing here is needed: what an index does not know, or
what is damaged in it, is read from the disk.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

from snapfs.fuse.union.listing import DT_WHT

if TYPE_CHECKING:
    from snapfs.fuse.union.layers import EntrySource
    from snapfs.layer.dirindex import DirIndex

_CONTENT: Final = b"fs"
_OTHERS_MAY_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_PATH_FLAGS: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class KnownEntries:
    """What an index says of one directory.

    Attributes:
        entries: (name, ``d_type``, inode number) of each entry, whiteouts of both
            forms as ``DT_WHT``.
        records: As many records of one size, each with the ``struct fuse_attr`` of
            its entry first.
    """

    __slots__ = ("entries", "records")

    def __init__(
        self, entries: list[tuple[bytes, int, int]], records: memoryview
    ) -> None:
        self.entries = entries
        self.records = records


class IndexedLayer:
    """The directories of one layer as its index has them."""

    __slots__ = ("_index",)

    def __init__(self, index: DirIndex) -> None:
        self._index = index

    def known(self, path: bytes) -> KnownEntries | None:
        """See :meth:`snapfs.fuse.union.layers.EntrySource.known`."""
        from snapfs.layer.dirindex_format import ENTRY, EntryFlag

        number = self._index.find(path.split(b"/") if path else ())
        listing = None if number is None else self._index.listing(number)
        if listing is None:
            return None
        names = bytes(listing.names)
        whiteout = EntryFlag.WHITEOUT.value
        entries = [
            (
                names[record[17] : record[17] + record[18]],
                DT_WHT if record[20] & whiteout else record[19],
                record[0],
            )
            for record in ENTRY.iter_unpack(listing.records)
        ]
        return KnownEntries(entries, listing.records)


def indexed(path: bytes, root_fd: int) -> EntrySource | None:
    """Return what knows the layer at ``path`` by its index; None if there is none.

    An index counts where nobody but root and this process's user could have written
    it. ``root_fd`` is the layer's root, open: the index has to be of that directory.
    """
    above, name = os.path.split(path)
    if name != _CONTENT:
        return None
    try:
        fd = os.open(above or b".", _PATH_FLAGS)
    except OSError:
        return None
    try:
        status = os.stat(b"dirindex", dir_fd=fd, follow_symlinks=False)
        if (
            status.st_uid not in (0, os.geteuid())
            or status.st_mode & _OTHERS_MAY_WRITE
            or not stat.S_ISREG(status.st_mode)
        ):
            return None
        from snapfs.layer.dirindex import open_dirindex  # few mounts need it

        index = open_dirindex(fd, root_fd)
    except OSError:
        return None
    finally:
        os.close(fd)
    return None if index is None else IndexedLayer(index)
