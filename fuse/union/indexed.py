"""Listings of a layer from its ``dirindex``, without a system call for an entry.

The unpacker leaves one beside the ``fs`` of each snapshot that it makes (see
:mod:`snapfs.layer.dirindex`). Nothing here is needed: what an index does not know, or
what is damaged in it, is read from the disk.
"""

from __future__ import annotations

import os
import stat
from collections import OrderedDict
from struct import Struct

from snapfs.fuse.union.listing import DT_WHT
from snapfs.light_typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from snapfs.fuse.union.layers import EntrySource
    from snapfs.layer.dirindex import DirIndex

_CONTENT: Final = b"fs"
_REMEMBERED: Final = 32
"""Directories: more than a walk is deep, as a rule."""
_LISTED: Final = Struct("=Q80xIIHBB4x")
"""Of ``dirindex_format.ENTRY`` what a listing needs: the inode number, that of the
directory, where the name begins, its length, the type, flags."""
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
    """The directories of one layer as its index has them.

    A walk asks for the directories of a directory soon after itself: where the index
    has these is remembered of the directories that were asked for last.
    """

    __slots__ = ("_index", "_no_directory", "_numbers", "_whiteout")

    def __init__(self, index: DirIndex) -> None:
        from snapfs.layer.dirindex_format import NO_DIRECTORY, EntryFlag

        self._index = index
        self._no_directory = NO_DIRECTORY
        self._whiteout = EntryFlag.WHITEOUT.value
        self._numbers: OrderedDict[bytes, dict[bytes, int]] = OrderedDict()

    def known(self, path: bytes) -> KnownEntries | None:
        """See :meth:`snapfs.fuse.union.layers.EntrySource.known`."""
        number = self._number(path)
        listing = None if number is None else self._index.listing(number)
        if listing is None:
            return None
        names = bytes(listing.names)
        whiteout, no_directory = self._whiteout, self._no_directory
        entries: list[tuple[bytes, int, int]] = []
        below: dict[bytes, int] = {}
        for ino, number, at, length, kind, flags in _LISTED.iter_unpack(
            listing.records
        ):
            name = names[at : at + length]
            entries.append((name, DT_WHT if flags & whiteout else kind, ino))
            if number != no_directory:
                below[name] = number
        self._remember(path, below)
        return KnownEntries(entries, listing.records)

    def _number(self, path: bytes) -> int | None:
        above, _, name = path.rpartition(b"/")
        siblings = self._numbers.get(above) if path else None
        if siblings is None:
            return self._index.find(path.split(b"/") if path else ())
        return siblings.get(name)

    def _remember(self, path: bytes, below: dict[bytes, int]) -> None:
        if not below:
            return
        self._numbers[path] = below
        self._numbers.move_to_end(path)
        if len(self._numbers) > _REMEMBERED:
            self._numbers.popitem(last=False)


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
