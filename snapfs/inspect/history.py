"""The history of one path: which layer gave, changed and removed it, and by what."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from snapfs.inspect.changes import ChangeKind, is_same_directory
from snapfs.inspect.merged import MergedTree
from snapfs.layer.index import IndexEntry, LayerIndex
from snapfs.layer.kinds import Flag, Kind

_FIELDS: Final = ("kind", "mode", "uid", "gid", "size_bytes", "mtime_ns", "xattrs")


@dataclass(frozen=True, slots=True)
class Event:
    """What one layer did to a path.

    Attributes:
        layer: Its number in the tree, from 0.
        kind: What became of the path.
        cause: Of a removal, as a clause: the whiteout, the opaque directory.
        entry: What the path is afterwards; what it was, for a removal.
        fields: Of a change the attributes that differ; empty if only the content
            may, or nothing does.
    """

    layer: int
    kind: ChangeKind
    cause: str
    entry: IndexEntry
    fields: tuple[str, ...] = ()


def history(tree: MergedTree, path: bytes) -> Iterator[Event]:
    """Yield what each layer did to ``path``, the lowest layer first."""
    for layer, index in enumerate(tree.indexes):
        below = tree.below(layer)
        before = below.lookup(path) if layer else None
        upto = tree.below(layer + 1)
        after = upto.lookup(path)
        own = index.lookup(path)
        if after is None:
            if before is not None:
                cause, entry = hides(index, path), below.entry(before)
                yield Event(layer, ChangeKind.REMOVED, cause, entry)
        elif own is not None and after.layer == layer:
            entry = upto.entry(after)
            if before is None:
                yield Event(layer, ChangeKind.ADDED, "", entry)
            elif not is_same_directory(below, index, own, before):
                was = below.entry(before)
                fields = tuple(
                    name
                    for name in _FIELDS
                    if getattr(entry, name) != getattr(was, name)
                )
                yield Event(layer, ChangeKind.CHANGED, "", entry, fields)


def hides(index: LayerIndex, path: bytes) -> str:
    """Say by what a layer hides all that lower layers have at ``path``; "" if not.

    A directory at the path itself hides only what is none; that is not told here.
    """
    found = "its root is opaque" if index.is_root_opaque else ""
    node, at = 0, b""
    for name in filter(None, path.split(b"/")):
        child = index.child(node, name)
        if child is None:
            break
        node, at = child, at + b"/" + name
        shown = repr(os.fsdecode(at))
        kind = index.kind(node)
        if kind is Kind.WHITEOUT:
            return f"a whiteout of {shown}"
        if kind is not Kind.DIRECTORY:
            return f"{shown} is {kind.words} there"
        if index.flags[node] & Flag.OPAQUE:
            found = f"{shown} is opaque there"
    return found


@dataclass(frozen=True, slots=True)
class Standing:
    """What one layer has at a path, and what becomes of it.

    Attributes:
        layer: Its number in the tree, from 0.
        has: What it has, as a noun; "" for nothing.
        fate: ``shown``, ``merged``, ``hidden``, or "" where it has nothing.
        cause: What hides it, as a clause with the layer's number from 1.
    """

    layer: int
    has: str
    fate: str
    cause: str = ""


def standings(tree: MergedTree, path: bytes) -> Iterator[Standing]:
    """Yield what each layer has at ``path``, the highest first."""
    place = tree.lookup(path)
    parts = place.parts or ((place.layer, place.node),) if place else ()
    merged = {layer for layer, _ in parts}
    for layer in reversed(range(len(tree.indexes))):
        index = tree.indexes[layer]
        node = index.lookup(path)
        if node is None:
            yield Standing(layer, "", "")
            continue
        has = index.kind(node).words
        if place is not None and layer == place.layer:
            yield Standing(layer, has, "shown")
        elif layer in merged:
            yield Standing(layer, has, "merged")
        elif index.kinds[node] == Kind.WHITEOUT:
            yield Standing(layer, has, "hides what is below")
        else:
            yield Standing(layer, has, "hidden", _hider(tree, layer, path))


def _hider(tree: MergedTree, layer: int, path: bytes) -> str:
    for higher in range(layer + 1, len(tree.indexes)):
        index = tree.indexes[higher]
        cause = hides(index, path)
        if not cause and index.lookup(path) is not None:
            cause = f"{os.fsdecode(b'/' + path)!r} is a directory there"
        if cause:
            return f"by layer {tree.first + higher + 1}: {cause}"
    return ""
