"""The merged tree: what a mount of the layers would show, from their indexes.

The rules are those of overlayfs and of ``docs/layers.md``: a name is hidden by a
whiteout, by an opaque directory, and by anything in a higher layer that is no
directory. Nothing is built ahead: a directory is merged when somebody looks into it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from snapfs.layer.index import IndexEntry, LayerIndex
from snapfs.layer.kinds import Flag, Kind

_IMPLIED_MODE: Final = 0o755


@dataclass(frozen=True, slots=True)
class Place:
    """A name that the merged tree shows.

    Attributes:
        path: From the root, without a leading slash; empty for the root.
        layer: Which layer supplies it; 0 is the lowest.
        node: Its number there.
        parts: Of a directory all that is merged in it, (layer, node), highest first;
            empty for anything else.
    """

    path: bytes
    layer: int
    node: int
    parts: tuple[tuple[int, int], ...] = ()

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return bool(self.parts)


class MergedTree:
    """Layers on top of each other, the lowest first; immutable.

    Args:
        indexes: The layers.
        first: The number, from 0, that the image has for the lowest of them.
        shows_whiteouts: Whiteouts are shown as names, for a look at one layer.
    """

    def __init__(
        self,
        indexes: Sequence[LayerIndex],
        first: int = 0,
        *,
        shows_whiteouts: bool = False,
    ) -> None:
        self.indexes: Final = tuple(indexes)
        self.first: Final = first
        self._shows_whiteouts = shows_whiteouts

    @property
    def root(self) -> Place:
        """The root directory.

        It is there even if no layer is.
        """
        parts = []
        for layer in reversed(range(len(self.indexes))):
            parts.append((layer, 0))
            if self.indexes[layer].is_root_opaque:
                break
        layer = parts[0][0] if parts else 0
        return Place(b"", layer, 0, tuple(parts))

    def child(self, directory: Place, name: bytes) -> Place | None:
        """Return ``name`` in a directory, None if it is not shown."""
        found = []
        for layer, node in directory.parts:
            child = self.indexes[layer].child(node, name)
            if child is not None:
                found.append((layer, child))
        return self._merged(_joined(directory.path, name), found)

    def children(self, directory: Place) -> list[Place]:
        """Return all that a directory shows, sorted by the bytes of the names."""
        names: dict[bytes, list[tuple[int, int]]] = {}
        for layer, node in directory.parts:
            index = self.indexes[layer]
            for child in index.children(node):
                names.setdefault(index.name(child), []).append((layer, child))
        shown = (
            self._merged(_joined(directory.path, name), names[name])
            for name in sorted(names)
        )
        return [place for place in shown if place is not None]

    def lookup(self, path: bytes) -> Place | None:
        """Return what is shown at a path; no symlink is followed."""
        place = self.root
        for name in path.split(b"/"):
            if name and name != b".":
                child = self.child(place, name)
                if child is None:
                    return None
                place = child
        return place

    def walk(self, top: Place | None = None) -> Iterator[Place]:
        """Yield all that is shown below ``top``, directories before contents."""
        pending = [iter(self.children(top or self.root))]
        while pending:
            place = next(pending[-1], None)
            if place is None:
                pending.pop()
                continue
            yield place
            if place.parts:
                pending.append(iter(self.children(place)))

    def below(self, layer: int) -> MergedTree:
        """Return the tree that the layers below ``layer`` show."""
        return MergedTree(self.indexes[:layer], self.first)

    def body(self, place: Place) -> tuple[int, int] | None:
        """Return the layer and the number whose body a file has.

        They differ from the place's own for a hard link into a lower layer. None if
        no lower layer has what it links to.
        """
        index = self.indexes[place.layer]
        if index.kinds[place.node] != Kind.LOWER_LINK:
            return place.layer, place.node
        below = self.below(place.layer)
        target = below.lookup(index.link_target(place.node))
        return None if target is None else below.body(target)

    def entry(self, place: Place) -> IndexEntry:
        """Return all about a place as a mount shows it.

        A directory that its layer only implies has the attributes of the one below;
        a hard link into a lower layer is the file there.
        """
        if not self.indexes:
            return _made_up(_EMPTY_ROOT)
        entry = self.indexes[place.layer].entry(place.node)
        if entry.kind is Kind.LOWER_LINK:
            body = self.body(place)
            if body is not None:
                target = self.indexes[body[0]].entry(body[1])
                # All links of one layer to one lower file are names of one copy;
                # below zero, so that the number is none of the layer's own.
                group = -(body[0] << 32 | body[1]) - 1
                return dataclasses.replace(target, name=entry.name, group=group)
        if entry.is_implied:
            return self._implied(place, entry)
        return entry

    def _implied(self, place: Place, entry: IndexEntry) -> IndexEntry:
        """Give a directory that no entry named the attributes of the one below."""
        if self.indexes[place.layer].flags[place.node] & Flag.RENEWED:
            return _made_up(entry)
        lower: Place | None = None
        below = self.below(place.layer)
        if len(place.parts) > 1:
            layer, node = place.parts[1]
            lower = Place(place.path, layer, node, place.parts[1:])
        elif below.indexes:
            # An opaque directory hides what is in the one below, not how it looks.
            lower = below.lookup(place.path)
        if lower is None or not lower.is_directory:
            return _made_up(entry)
        found = below.entry(lower)
        return dataclasses.replace(
            entry,
            mode=found.mode,
            uid=found.uid,
            gid=found.gid,
            mtime_ns=found.mtime_ns,
            xattrs=found.xattrs,
        )

    def _merged(self, path: bytes, found: Iterable[tuple[int, int]]) -> Place | None:
        """Return what is shown of one name's ``found``, highest first."""
        parts: list[tuple[int, int]] = []
        for layer, node in found:
            index = self.indexes[layer]
            kind = index.kinds[node]
            if kind != Kind.DIRECTORY:
                is_shown = kind != Kind.WHITEOUT or self._shows_whiteouts
                if not parts and is_shown:
                    return Place(path, layer, node)
                break
            parts.append((layer, node))
            if index.flags[node] & Flag.OPAQUE:
                break
        return Place(path, *parts[0], tuple(parts)) if parts else None


def _joined(directory: bytes, name: bytes) -> bytes:
    return directory + b"/" + name if directory else name


def _made_up(entry: IndexEntry) -> IndexEntry:
    return dataclasses.replace(
        entry, mode=_IMPLIED_MODE, uid=0, gid=0, mtime_ns=0, xattrs={}
    )


_EMPTY_ROOT: Final = IndexEntry(
    node=0,
    name=b"",
    kind=Kind.DIRECTORY,
    mode=_IMPLIED_MODE,
    uid=0,
    gid=0,
    size_bytes=0,
    mtime_ns=0,
    data_offset=0,
    link_target=b"",
    device=(0, 0),
    xattrs={},
    sparse=None,
    group=0,
    is_implied=True,
    is_opaque=False,
)
