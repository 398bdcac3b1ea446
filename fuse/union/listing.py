"""Directory listings of the merged tree, with offsets that stay valid.

An entry's offset is a hash of its name alone. So a reader goes on where it was after
entries came and went, after the listing was dropped from memory, and after a restart;
and no offset has to be remembered for it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from zlib import crc32

from snapfs.light_typing import Final, TypeAlias

Entry: TypeAlias = tuple[int, bytes, int, int, int]
"""(cookie, name, ``d_type``, layer, ``st_ino`` or 0 where it takes a lookup)."""

Seen: TypeAlias = tuple[int, int, int]
"""``d_type``, layer and ``st_ino`` of a name."""

DOT_COOKIE: Final = 1
DOT_DOT_COOKIE: Final = 2
_FIRST_COOKIE: Final = 3
_LOW_BITS: Final = 31
_LOW_MASK: Final = (1 << _LOW_BITS) - 1

DT_DIR: Final = 4
DT_REG: Final = 8
DT_LNK: Final = 10
DT_WHT: Final = 14
_DOTS: Final = 2
_TYPE_SHIFT: Final = 12  # IFTODT() of dirent.h


def d_type(kind: int) -> int:
    """Return the type in a directory entry for a mode."""
    return (kind & 0o170000) >> _TYPE_SHIFT


def cookie_of(name: bytes) -> int:
    """Return the offset of a name: 63 bits, above those of "." and ".."."""
    # Names of one length that collide in a CRC do so whatever it starts with; the
    # reversed names do not.
    cookie = crc32(name) << _LOW_BITS | crc32(name[::-1]) & _LOW_MASK
    return cookie if cookie >= _FIRST_COOKIE else cookie + _FIRST_COOKIE


def cookies_of(names: Sequence[bytes]) -> list[int]:
    """Return the offsets of many names."""
    cookies = [
        crc32(name) << _LOW_BITS | crc32(name[::-1]) & _LOW_MASK for name in names
    ]
    if cookies and min(cookies) < _FIRST_COOKIE:
        return [cookie_of(name) for name in names]
    return cookies


class Listing:
    """The entries of a directory in the order of their cookies, "." and ".." first.

    They are put in order when somebody lists them: that takes as long as reading them
    does, and a lookup needs no order.

    Args:
        found: What the layers have, by name.
        layer: The highest layer that has the directory.
        records: See below.
        positions: See below.

    Attributes:
        records: The records of layers whose index knows this directory.
        positions: By these layers, where in the records that of a name begins.
    """

    __slots__ = ("_entries", "_found", "_layer", "positions", "records")

    def __init__(
        self,
        found: dict[bytes, Seen],
        layer: int,
        records: dict[int, memoryview] | None = None,
        positions: dict[int, dict[bytes, int]] | None = None,
    ) -> None:
        self._found: dict[bytes, Seen] | None = found  # until they are in order
        self._entries: list[Entry] = []
        self._layer = layer
        self.records = records or {}
        self.positions = positions or {}

    @property
    def entries(self) -> list[Entry]:
        """All of them."""
        if self._found is not None:
            self._entries = _in_order(self._found, self._layer)
            self._found = None
        return self._entries

    def __len__(self) -> int:
        """Return the number of entries, with "." and ".."."""
        return len(self._entries) if self._found is None else len(self._found) + _DOTS

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing but "." and ".."."""
        return len(self) <= _DOTS

    def layer_of(self, name: bytes) -> int | None:
        """Return the highest layer that has ``name``, None if it is no entry."""
        if self._found is not None:
            seen = self._found.get(name)
            return None if seen is None else seen[1]
        entry = self.find(name)
        return None if entry is None else entry[3]

    def after(self, offset: int) -> int:
        """Return the index of the first entry whose cookie is above ``offset``."""
        return bisect_left(self.entries, (offset + 1,))

    def find(self, name: bytes) -> Entry | None:
        """Return the entry of a name, None if there is none."""
        entries = self.entries
        index = bisect_left(entries, (cookie_of(name),))
        if index < len(entries) and entries[index][1] == name:
            return entries[index]
        index = self._index(name)  # another name may have taken its cookie
        return None if index < 0 else entries[index]

    def add(self, name: bytes, kind: int, layer: int, ino: int) -> int:
        """Enter a name that appeared, or what it is now; return how many there are."""
        if self._found is not None:
            self._found[name] = (kind >> _TYPE_SHIFT, layer, ino)
            return len(self)
        cookie = cookie_of(name)
        entries = self.entries
        index = bisect_left(entries, (cookie,))
        while index < len(entries) and entries[index][0] == cookie:
            if entries[index][1] == name:
                entries[index] = (cookie, name, kind >> _TYPE_SHIFT, layer, ino)
                return len(entries)
            cookie += 1
            index += 1
        entries.insert(index, (cookie, name, kind >> _TYPE_SHIFT, layer, ino))
        return len(entries)

    def remove(self, name: bytes) -> int:
        """Take out a name that is gone, if it was there; return how many are left."""
        if self._found is not None:
            self._found.pop(name, None)
            return len(self)
        entries = self.entries
        index = self._index(name)
        if index >= 0:
            del entries[index]
        return len(entries)

    def _index(self, name: bytes) -> int:
        entries = self.entries
        cookie = cookie_of(name)
        index = bisect_left(entries, (cookie,))
        while index < len(entries) and entries[index][0] == cookie:
            if entries[index][1] == name:
                return index
            cookie += 1  # it made room for another name of the same hash
            index += 1
        return -1


def _in_order(found: dict[bytes, Seen], layer: int) -> list[Entry]:
    entries: list[Entry] = [
        (DOT_COOKIE, b".", DT_DIR, layer, 0),
        (DOT_DOT_COOKIE, b"..", DT_DIR, layer, 0),
    ]
    entries += [
        (cookie, name, kind, layer, ino)
        for cookie, (name, (kind, layer, ino)) in zip(
            cookies_of(list(found)), found.items(), strict=True
        )
    ]
    entries.sort()
    return with_unique_cookies(entries)


def with_unique_cookies(entries: list[Entry]) -> list[Entry]:
    """Return entries in order, changed so that no two have one cookie."""
    if len({entry[0] for entry in entries}) == len(entries):
        return entries
    last = 0
    for index, entry in enumerate(entries):
        if entry[0] <= last:
            entries[index] = (last + 1, *entry[1:])
        last = entries[index][0]
    return entries
