"""An image in numbers, for who wants to see all of it on one page."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from snapfs.inspect.changes import Change, ChangeKind, layer_changes
from snapfs.inspect.inspection import Inspection, Layer
from snapfs.inspect.merged import MergedTree, Place
from snapfs.layer.kinds import Kind


@dataclass(frozen=True, slots=True)
class LayerChanges:
    """What one layer does to the tree below it.

    Attributes:
        paths: How many paths are added, changed and removed.
        size_bytes: Of the files among them: of what is added and changed as it is
            afterwards, of what is removed as it was.
    """

    layer: Layer
    paths: Counter[ChangeKind]
    size_bytes: Counter[ChangeKind]


@dataclass(frozen=True, slots=True)
class SeenFile:
    """A file that containers see; ``layer`` is from 1."""

    path: bytes
    size_bytes: int
    layer: int


@dataclass(slots=True)
class Branch:
    """A directory with all that is seen below it, or a file.

    Attributes:
        size_bytes: Of the files in it; one with several names counts once.
        by_layer: The same by the layer that supplies them, from 1.
    """

    name: bytes
    size_bytes: int = 0
    files: int = 0
    by_layer: Counter[int] = field(default_factory=Counter)
    branches: dict[bytes, Branch] = field(default_factory=dict)


def changes_of_layers(inspection: Inspection) -> list[LayerChanges]:
    """Return what each layer changes, the lowest first."""
    tree = inspection.tree()
    return [
        _changes(tree.below(layer.number - 1), layer) for layer in inspection.layers
    ]


def _changes(below: MergedTree, layer: Layer) -> LayerChanges:
    paths: Counter[ChangeKind] = Counter()
    sizes: Counter[ChangeKind] = Counter()
    groups: set[int] = set()
    for change in layer_changes(below, layer.index):
        paths[change.kind] += 1
        sizes[change.kind] += _size(below, layer, change, groups)
    return LayerChanges(layer, paths, sizes)


def _size(below: MergedTree, layer: Layer, change: Change, groups: set[int]) -> int:
    """Return the bytes of a file; those of a hard link were counted already."""
    if change.node is None:
        place = change.before
        index = below.indexes[place.layer] if place is not None else None
        node = place.node if place is not None else 0
    else:
        index, node = layer.index, change.node
        group = index.groups[node]
        if group in groups:
            return 0
        if group:
            groups.add(group)
    if index is None or index.kinds[node] != Kind.FILE:
        return 0
    return int(index.sizes[node])


_LARGEST: Final = 30


def seen_files(tree: MergedTree) -> Iterator[SeenFile]:
    """Yield each file that containers see once, whatever number of names it has."""
    known: set[tuple[int, int]] = set()
    for place in tree.walk():
        body = _body(tree, place)
        if body is None:
            continue
        index = tree.indexes[body[0]]
        group = index.groups[body[1]]
        key = body[0], -group if group else body[1]
        if key not in known:
            known.add(key)
            layer = tree.first + body[0] + 1
            yield SeenFile(place.path, int(index.sizes[body[1]]), layer)


def _body(tree: MergedTree, place: Place) -> tuple[int, int] | None:
    kind = tree.indexes[place.layer].kinds[place.node]
    if kind not in (Kind.FILE, Kind.LOWER_LINK):
        return None
    return tree.body(place)


def largest(files: list[SeenFile], count: int = _LARGEST) -> list[SeenFile]:
    """Return the largest files, the largest first."""
    return heapq.nsmallest(count, files, key=lambda file: (-file.size_bytes, file.path))


def grown(files: list[SeenFile]) -> Branch:
    """Return the files as a tree of directories with their sums."""
    root = Branch(b"")
    for file in files:
        branch = root
        names = file.path.split(b"/")
        for name in (None, *names):
            if name is not None:
                branch = branch.branches.setdefault(name, Branch(name))
            branch.size_bytes += file.size_bytes
            branch.files += 1
            branch.by_layer[file.layer] += file.size_bytes
    return root
