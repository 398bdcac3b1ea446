"""Bytes of an image that no container can see, or that it stores twice.

What counts is a body: the content that one layer stores for a file, once whatever
number of hard links it has. A body is either seen or hidden, so none counts twice.
"""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from snapfs.inspect.inspection import Inspection
from snapfs.inspect.merged import MergedTree, Place
from snapfs.layer.index import LayerIndex
from snapfs.layer.kinds import Flag, Kind

Body: TypeAlias = tuple[int, int]
"""A layer, and there the number of a file, or of a group of hard links below zero."""


class Cause(StrEnum):
    """Why a body could be spared."""

    OVERWRITTEN = "overwritten"
    DELETED = "deleted"
    ATTRIBUTES = "attributes"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class Waste:
    """One body that could be spared.

    Attributes:
        layer: That stores it; 0 is the lowest.
        path: Where; of hard links the name that was hidden last.
        size_bytes: As stored in the plain tar, without holes.
        cause: Why it could be spared.
        by_layer: That hides it, or that has the copy that is kept.
        by_path: Where the copy that is kept is; else equal to ``path``.
    """

    layer: int
    path: bytes
    size_bytes: int
    cause: Cause
    by_layer: int
    by_path: bytes

    @property
    def fix(self) -> str:
        """How to spare it, as a sentence; layers are numbered from 1."""
        own, other = self.layer + 1, self.by_layer + 1
        match self.cause:
            case Cause.DELETED:
                return (
                    f"delete it in the step of layer {own}, not in that of layer"
                    f" {other}"
                )
            case Cause.OVERWRITTEN:
                return f"write it once: leave it out of layer {own}, or change it there"
            case Cause.ATTRIBUTES:
                return f"set owner, mode and times in layer {own}, not in layer {other}"
            case Cause.DUPLICATE:
                return f"link it to /{os.fsdecode(self.by_path)} of layer {other}"


def find_waste(inspection: Inspection, *, reads_contents: bool = True) -> list[Waste]:
    """Return what could be spared, the largest first.

    Without ``reads_contents`` no layer is read: what is hidden is found all the same,
    but not that it was stored again with other attributes alone; nor are duplicates.
    """
    tree = inspection.tree()
    names, nodes = _names(tree)
    seen = _seen(tree)
    hidden = {
        body: max(
            ((*_hider(tree, layer, path), path) for layer, path in names[body]),
            key=lambda fate: (fate[0], fate[3]),
        )
        for body in names
        if body not in seen
    }
    copies = {
        body: (higher, number)
        for body, (higher, _, number, _) in hidden.items()
        if reads_contents and _may_be_copy(tree, body[0], nodes[body], higher, number)
    }
    groups = _same_size(tree, seen, nodes) if reads_contents else []
    wanted = {(body[0], nodes[body]) for body in copies} | set(copies.values())
    wanted |= {(body[0], nodes[body]) for group in groups for body in group}
    digests = inspection.digests(wanted)
    found = []
    for body, (higher, cause, _, path) in hidden.items():
        own = body[0], nodes[body]
        if body in copies and digests[own] == digests[copies[body]]:
            cause = Cause.ATTRIBUTES
        found.append(Waste(body[0], path, _stored(tree, *own), cause, higher, path))
    for group in groups:
        found += _duplicates(tree, group, seen, nodes, digests)
    return sorted(found, key=lambda waste: (-waste.size_bytes, waste.layer, waste.path))


def _duplicates(
    tree: MergedTree,
    group: list[Body],
    seen: dict[Body, bytes],
    nodes: dict[Body, int],
    digests: dict[tuple[int, int], bytes],
) -> list[Waste]:
    """Return all of a group that are equal, save the lowest of each content."""
    found = []
    kept: dict[bytes, Body] = {}
    for body in sorted(group, key=lambda body: (body[0], seen[body])):
        own = body[0], nodes[body]
        first = kept.setdefault(digests[own], body)
        if first != body:
            path, size_bytes = seen[body], _stored(tree, *own)
            found.append(
                Waste(body[0], path, size_bytes, Cause.DUPLICATE, first[0], seen[first])
            )
    return found


def _names(
    tree: MergedTree,
) -> tuple[dict[Body, list[tuple[int, bytes]]], dict[Body, int]]:
    """Return each body that has bytes: its names with their layers, and its number."""
    names: dict[Body, list[tuple[int, bytes]]] = defaultdict(list)
    nodes: dict[Body, int] = {}
    for layer, index in enumerate(tree.indexes):
        for path, node in index.walk():
            if index.kinds[node] in (Kind.FILE, Kind.LOWER_LINK):
                body = _body(tree, Place(path, layer, node))
                if body is not None:
                    names[body].append((layer, path))
                    # The lowest layer comes first: there it has a body of its own.
                    nodes.setdefault(body, node)
    return names, nodes


def _seen(tree: MergedTree) -> dict[Body, bytes]:
    """Return each body that the whole image shows, with the first path."""
    seen: dict[Body, bytes] = {}
    for place in tree.walk():
        kind = tree.indexes[place.layer].kinds[place.node]
        if kind in (Kind.FILE, Kind.LOWER_LINK):
            body = _body(tree, place)
            if body is not None:
                seen.setdefault(body, place.path)
    return seen


def _body(tree: MergedTree, place: Place) -> Body | None:
    found = tree.body(place)
    if found is None:
        return None
    layer, node = found
    index = tree.indexes[layer]
    if index.kinds[node] != Kind.FILE or not index.sizes[node]:
        return None
    group = index.groups[node]
    # Nodes are above zero, so a group below zero is none of them.
    return layer, -group if group else node


def _hider(tree: MergedTree, layer: int, path: bytes) -> tuple[int, Cause, int]:
    """Return the lowest layer above that hides a name, why, and by which number."""
    parts = path.split(b"/")
    for higher in range(layer + 1, len(tree.indexes)):
        found = _hides(tree.indexes[higher], parts)
        if found is not None:
            return (higher, *found)
    raise AssertionError(f"nothing hides {path!r}")


def _hides(index: LayerIndex, parts: list[bytes]) -> tuple[Cause, int] | None:
    """Tell whether and how a layer hides a lower name; 0 for no number."""
    node = 0
    is_opaque = index.is_root_opaque
    for depth, part in enumerate(parts, 1):
        child = index.child(node, part)
        if child is None:
            return (Cause.DELETED, 0) if is_opaque else None
        kind = index.kinds[child]
        if kind == Kind.WHITEOUT:
            return Cause.DELETED, 0
        if kind != Kind.DIRECTORY or depth == len(parts):
            return Cause.OVERWRITTEN, child if depth == len(parts) else 0
        is_opaque = is_opaque or bool(index.flags[child] & Flag.OPAQUE)
        node = child
    return None


def _may_be_copy(
    tree: MergedTree, layer: int, node: int, higher: int, number: int
) -> bool:
    index = tree.indexes[higher]
    return (
        number > 0
        and index.kinds[number] == Kind.FILE
        and index.sizes[number] == tree.indexes[layer].sizes[node]
    )


def _same_size(
    tree: MergedTree, seen: dict[Body, bytes], nodes: dict[Body, int]
) -> list[list[Body]]:
    sizes: dict[int, list[Body]] = defaultdict(list)
    for body in seen:
        sizes[tree.indexes[body[0]].sizes[nodes[body]]].append(body)
    return [bodies for bodies in sizes.values() if len(bodies) > 1]


def stored_bytes(index: LayerIndex) -> int:
    """Return how many bytes of files a layer stores, plain and without holes."""
    seen: set[int] = set()
    total = 0
    for node, kind in enumerate(index.kinds):
        group = index.groups[node]
        if kind == Kind.FILE and group not in seen:
            total += _stored_size(index, node)
            if group:
                seen.add(group)
    return total


def _stored(tree: MergedTree, layer: int, node: int) -> int:
    return _stored_size(tree.indexes[layer], node)


def _stored_size(index: LayerIndex, node: int) -> int:
    extents = index.sparse(node)
    if extents is None:
        return int(index.sizes[node])
    return sum(length for _, length in extents)
