"""The directory listings in memory, and what they spare a lookup."""

from __future__ import annotations

import contextlib
import os
from collections import OrderedDict

from snapfs.fuse.union.listing import Entry, Listing
from snapfs.fuse.union.merging import read_listing
from snapfs.fuse.union.node import Directory
from snapfs.light_typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from snapfs.fuse.union.union import Union

ABSENT: Final = -2
UNKNOWN: Final = -1
# What reading directories costs, in fstatat(2) calls that find nothing: so many a
# layer, and one for so many bytes of the directory (ext4, xfs: 30 bytes an entry).
_PROBES_A_LAYER: Final = 6
_BYTES_A_PROBE: Final = 64
_NEVER: Final = 1 << 62


class Listings:
    """The listings in memory, least recently used dropped first.

    Args:
        union: Whose directories.
        limit: How many entries to keep, of all directories together.
    """

    __slots__ = ("_costs", "_kept", "_limit", "_total", "_union")

    def __init__(self, union: Union, limit: int) -> None:
        self._union = union
        self._limit = limit
        self._total = 0
        self._kept: OrderedDict[int, Listing] = OrderedDict()
        self._costs: dict[int, tuple[int, int]] = {}

    def get(self, directory: Directory) -> Listing:
        """Return the listing of ``directory``, read from the layers if need be.

        Raises:
            OSError: From the layers.
        """
        listing = self._kept.get(directory.nodeid)
        if listing is not None:
            self._kept.move_to_end(directory.nodeid)
            return listing
        listing = read_listing(self._union, directory)
        self._kept[directory.nodeid] = listing
        self._total += len(listing)
        while self._total > self._limit and len(self._kept) > 1:
            self._total -= len(self._kept.popitem(last=False)[1])
        return listing

    def is_known(self, directory: Directory) -> bool:
        """Say whether the listing of ``directory`` is in memory."""
        return directory.nodeid in self._kept

    def layer_of(self, directory: Directory, name: bytes) -> int:
        """Return the highest layer that has ``name``, ``ABSENT`` or ``UNKNOWN``.

        For directories of several layers: where each must be asked, some lookups
        cost as much as reading them all once, which then answers the others.
        """
        listing = self._kept.get(directory.nodeid)
        if listing is None:
            listing = self._read_if_due(directory)
            if listing is None:
                return UNKNOWN
        layer = listing.layer_of(name)
        return ABSENT if layer is None else layer

    def _read_if_due(self, directory: Directory) -> Listing | None:
        nodeid = directory.nodeid
        layers = len(directory.lowers) + directory.has_upper
        spent, price = self._costs.get(nodeid, (0, layers * _PROBES_A_LAYER))
        spent += layers
        if spent > price:
            # Due, unless it is so large that it is worth some more lookups.
            price = layers * _PROBES_A_LAYER + self._bytes(directory) // _BYTES_A_PROBE
            if spent > price:
                with contextlib.suppress(OSError):
                    return self.get(directory)
                price = _NEVER  # it may be searched and yet not be read
        self._costs[nodeid] = (spent, price)
        return None

    def _bytes(self, directory: Directory) -> int:
        stack = (0, *directory.lowers) if directory.has_upper else directory.lowers
        fd = self._union.directory_fd
        return sum(os.stat(fd(directory, layer)).st_size for layer in stack)

    def drop(self, nodeid: int) -> None:
        """Forget the listing of a directory."""
        self._costs.pop(nodeid, None)
        listing = self._kept.pop(nodeid, None)
        if listing is not None:
            self._total -= len(listing)

    def added(
        self, directory: Directory, name: bytes, kind: int, layer: int, ino: int
    ) -> None:
        """Note that ``directory`` has ``name`` now, or another of that name."""
        listing = self._kept.get(directory.nodeid)
        if listing is not None:
            before = len(listing)
            self._total += listing.add(name, kind, layer, ino) - before

    def removed(self, directory: Directory, name: bytes) -> None:
        """Note that ``name`` is no entry of ``directory`` any more."""
        listing = self._kept.get(directory.nodeid)
        if listing is not None:
            before = len(listing)
            self._total += listing.remove(name) - before


def entry_ino(union: Union, directory: Directory, entry: Entry) -> int:
    """Return the ``st_ino`` to show for an entry whose listing does not say it.

    Raises:
        OSError: From the lookup.
    """
    _, name, _, layer, _ = entry
    if name == b".":
        return directory.ino
    if name == b"..":
        return directory.ino if directory.parent is None else directory.parent.ino
    known = directory.children.get(name)
    if known is not None:
        return known.ino
    node = union.lookup(directory, name, layer)
    if node is None:
        return 0
    union.nodes.release(node)
    return node.ino
