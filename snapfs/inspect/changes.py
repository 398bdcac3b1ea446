"""What one layer changes of the tree below it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from snapfs.inspect.merged import MergedTree, Place
from snapfs.layer.index import LayerIndex
from snapfs.layer.kinds import Flag, Kind


class ChangeKind(StrEnum):
    """What became of a path."""

    ADDED = "A"
    CHANGED = "M"
    REMOVED = "D"


@dataclass(frozen=True, slots=True)
class Change:
    """One path that a layer changes.

    Attributes:
        kind: What became of it.
        path: From the root, without a leading slash.
        node: In the layer's index; None for what is removed.
        before: What the layers below show there; None for what is added.
    """

    kind: ChangeKind
    path: bytes
    node: int | None
    before: Place | None


def layer_changes(below: MergedTree, index: LayerIndex) -> Iterator[Change]:
    """Yield what ``index`` changes of ``below``, directories before contents.

    All that vanishes is named, not only the directory that a whiteout names. A
    directory that is only passed through, or that stays as it was, is no change.
    """
    has_below = bool(below.indexes)
    root = below.root if has_below else None
    yield from _directory(below, index, 0, root)


def count_changes(below: MergedTree, index: LayerIndex) -> Counter[ChangeKind]:
    """Return how many changes of each kind :func:`layer_changes` yields."""
    if below.indexes:
        return Counter(change.kind for change in layer_changes(below, index))
    # All is new, and whiteouts hide nothing.
    stats = index.stats()
    return Counter({ChangeKind.ADDED: stats.entries - stats.whiteouts})


def _directory(
    below: MergedTree, index: LayerIndex, node: int, before: Place | None
) -> Iterator[Change]:
    """Yield what happens in a directory; ``before`` is the directory below, if any.

    It keeps a stack of its own: paths may be a thousand components deep.
    """
    pending = [_children(below, index, node, before, hides=False)]
    while pending:
        step = next(pending[-1], None)
        if step is None:
            pending.pop()
        elif isinstance(step, Change):
            yield step
        else:
            pending.append(_children(below, index, *step))


def _children(
    below: MergedTree,
    index: LayerIndex,
    node: int,
    before: Place | None,
    hides: bool,
) -> Iterator[Change | tuple[int, Place | None, bool]]:
    """Yield changes in one directory, and the arguments for each one to look into.

    ``hides`` says that a directory above is opaque: what it gives anew hides all that
    was below, too, without a mark of its own.
    """
    hides = hides or bool(index.flags[node] & Flag.OPAQUE)
    if before is not None and hides:
        yield from _hidden(below, index, node, before)
    prefix = index.path(node)
    for child in index.children(node):
        name = index.name(child)
        path = prefix + b"/" + name if prefix else name
        old = None if before is None else below.child(before, name)
        if index.kinds[child] == Kind.WHITEOUT:
            if old is not None:
                yield from _vanished(below, old)
            continue
        if old is None:
            yield Change(ChangeKind.ADDED, path, child, None)
        elif not is_same_directory(below, index, child, old):
            yield Change(ChangeKind.CHANGED, path, child, old)
        was_directory = old is not None and old.is_directory
        if index.kinds[child] == Kind.DIRECTORY:
            yield child, old if was_directory else None, hides
        elif old is not None and was_directory:
            yield from _vanished_below(below, old)


def _hidden(
    below: MergedTree, index: LayerIndex, node: int, before: Place
) -> Iterator[Change]:
    """Yield what an opaque directory hides and does not give anew."""
    names = {index.name(child) for child in index.children(node)}
    for place in below.children(before):
        if place.path.rpartition(b"/")[2] not in names:
            yield from _vanished(below, place)


def _vanished(below: MergedTree, place: Place) -> Iterator[Change]:
    yield Change(ChangeKind.REMOVED, place.path, None, place)
    if place.is_directory:
        yield from _vanished_below(below, place)


def _vanished_below(below: MergedTree, place: Place) -> Iterator[Change]:
    for deeper in below.walk(place):
        yield Change(ChangeKind.REMOVED, deeper.path, None, deeper)


def is_same_directory(
    below: MergedTree, index: LayerIndex, node: int, old: Place
) -> bool:
    """Tell whether ``node`` leaves a directory below as it was, contents aside."""
    if index.kinds[node] != Kind.DIRECTORY or not old.is_directory:
        return False
    flags = index.flags[node]
    if flags & Flag.IMPLIED and not flags & Flag.RENEWED:
        return True
    new, was = index.entry(node), below.entry(old)
    return (new.mode, new.uid, new.gid, new.mtime_ns, new.xattrs) == (
        *(was.mode, was.uid, was.gid, was.mtime_ns),
        was.xattrs,
    )
