"""What differs between the trees that two images show.

Each name is compared as a mount would show it: type, mode, owner, size, content,
modification time, extended attributes, link target, device. Which names are hard
links of each other is not compared.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from snapfs.inspect.changes import ChangeKind
from snapfs.inspect.inspection import Body, Inspection, Layer
from snapfs.inspect.merged import MergedTree, Place
from snapfs.layer.index import BLOBS, COLUMNS, IndexEntry
from snapfs.layer.kinds import Kind


class Field(StrEnum):
    """In what two names can differ."""

    TYPE = "type"
    MODE = "mode"
    OWNER = "owner"
    SIZE = "size"
    CONTENT = "content"
    MTIME = "mtime"
    XATTRS = "xattrs"
    TARGET = "target"
    DEVICE = "device"


@dataclass(frozen=True, slots=True)
class Difference:
    """One path that two trees do not show alike.

    Attributes:
        kind: ``ADDED`` if only the second shows it, ``REMOVED`` if only the first.
        path: From the root, without a leading slash; empty for the root.
        before: What the first shows; None for what is added.
        after: What the second shows; None for what is removed.
        fields: Of a change what differs, never empty.
    """

    kind: ChangeKind
    path: bytes
    before: IndexEntry | None
    after: IndexEntry | None
    fields: tuple[Field, ...] = ()


def compare(
    left: Inspection, right: Inspection, *, ignored: Collection[Field] = ()
) -> list[Difference]:
    """Return how to get from ``left`` to ``right``, directories before contents.

    All below a directory that only one shows is named. Contents are read, once, of
    files with equal sizes whose bodies are not in the same layer; a subtree that
    only layers below the first different one supply is not even looked at.
    """
    return _Comparison(left, right, frozenset(ignored)).run()


_Pair: TypeAlias = tuple[Body, Body]


class _Comparison:
    """One walk through two trees at once."""

    def __init__(
        self, left: Inspection, right: Inspection, ignored: frozenset[Field]
    ) -> None:
        self._left, self._right = left, right
        self._trees: Final = left.tree(), right.tree()
        self._ignored = ignored
        self._twins = _twins(left, right)
        self._shared = 0
        while self._twins.get(self._shared) == self._shared:
            self._shared += 1
        # In the order of the walk; the pair is two bodies of one size.
        self._found: list[tuple[Difference, _Pair | None]] = []

    def run(self) -> list[Difference]:
        left, right = self._trees
        roots = left.root, right.root
        if not self._is_same(*roots):
            self._note(*roots)
            self._walk(*roots)
        pairs = [pair for _, pair in self._found if pair is not None]
        here = self._left.digests(own for own, _ in pairs)
        there = self._right.digests(own for _, own in pairs)
        told = []
        for found, pair in self._found:
            if pair is not None and here[pair[0]] != there[pair[1]]:
                fields = (*found.fields, Field.CONTENT)
                found = dataclasses.replace(found, fields=_in_order(fields))
            if found.fields or found.kind is not ChangeKind.CHANGED:
                told.append(found)
        return told

    def _walk(self, before: Place, after: Place) -> None:
        """Compare what two directories hold, with a stack of its own."""
        pending = [self._children(before, after)]
        while pending:
            deeper = next(pending[-1], None)
            if deeper is None:
                pending.pop()
            else:
                pending.append(self._children(*deeper))

    def _children(self, before: Place, after: Place) -> Iterator[tuple[Place, Place]]:
        """Note what differs directly in two directories; yield pairs to go into."""
        left, right = self._trees
        old = {place.path: place for place in left.children(before)}
        new = {place.path: place for place in right.children(after)}
        for path in sorted(old.keys() | new.keys()):
            was, now = old.get(path), new.get(path)
            if was is None or now is None:
                self._one_side(was, now)
            elif not self._is_same(was, now):
                self._note(was, now)
                if was.is_directory and now.is_directory:
                    yield was, now
                else:
                    self._all_below(was, now)

    def _one_side(self, was: Place | None, now: Place | None) -> None:
        for tree, place, kind in self._sides(was, now):
            self._add(kind, tree, place)
        self._all_below(was, now)

    def _all_below(self, was: Place | None, now: Place | None) -> None:
        for tree, top, kind in self._sides(was, now):
            for place in tree.walk(top) if top.is_directory else ():
                self._add(kind, tree, place)

    def _sides(
        self, was: Place | None, now: Place | None
    ) -> Iterator[tuple[MergedTree, Place, ChangeKind]]:
        left, right = self._trees
        if was is not None:
            yield left, was, ChangeKind.REMOVED
        if now is not None:
            yield right, now, ChangeKind.ADDED

    def _add(self, kind: ChangeKind, tree: MergedTree, place: Place) -> None:
        entry = tree.entry(place)
        is_new = kind is ChangeKind.ADDED
        before, after = (None, entry) if is_new else (entry, None)
        self._found.append((Difference(kind, place.path, before, after), None))

    def _is_same(self, was: Place, now: Place) -> bool:
        """Tell whether both are supplied by the layers that both images begin with."""
        return (
            was.layer < self._shared
            and (was.layer, was.node) == (now.layer, now.node)
            and was.parts == now.parts
        )

    def _note(self, was: Place, now: Place) -> None:
        left, right = self._trees
        old, new = left.entry(was), right.entry(now)
        fields = _in_order(f for f in _fields(old, new) if f not in self._ignored)
        pair = None
        are_files = old.kind is new.kind is Kind.FILE
        is_read = are_files and Field.CONTENT not in self._ignored
        if is_read and old.size_bytes == new.size_bytes > 0:
            pair = self._bodies(was, now)
        if fields or pair:
            found = Difference(ChangeKind.CHANGED, now.path, old, new, fields)
            self._found.append((found, pair))

    def _bodies(self, was: Place, now: Place) -> _Pair | None:
        """Return two bodies to compare; None if they are the same one."""
        left, right = self._trees
        here, there = left.body(was), right.body(now)
        assert here is not None  # an entry of kind FILE
        assert there is not None
        is_same = self._twins.get(here[0]) == there[0] and here[1] == there[1]
        return None if is_same else (here, there)


def _fields(old: IndexEntry, new: IndexEntry) -> Iterator[Field]:
    """Yield in what two names differ, equal sizes' contents aside."""
    if old.kind is not new.kind:
        yield Field.TYPE
    elif old.kind is Kind.FILE and old.size_bytes != new.size_bytes:
        yield Field.SIZE
        yield Field.CONTENT
    elif old.link_target != new.link_target:
        yield Field.TARGET
    elif old.device != new.device:
        yield Field.DEVICE
    # A symlink has no mode of its own (symlink(7)).
    if old.mode != new.mode and Kind.SYMLINK not in (old.kind, new.kind):
        yield Field.MODE
    if (old.uid, old.gid) != (new.uid, new.gid):
        yield Field.OWNER
    if old.mtime_ns != new.mtime_ns:
        yield Field.MTIME
    if old.xattrs != new.xattrs:
        yield Field.XATTRS


def _in_order(fields: Iterable[Field]) -> tuple[Field, ...]:
    found = set(fields)
    return tuple(field for field in Field if field in found)


def _twins(left: Inspection, right: Inspection) -> dict[int, int]:
    """Map layers of ``left``, from 0, to the same layer of ``right``, if it has it."""
    twins = {}
    for number, own in enumerate(left.layers):
        # The same place first: an image may have one layer twice.
        places = [number] if number < len(right.layers) else []
        for other in (*places, *range(len(right.layers))):
            if _is_one(own, right.layers[other]):
                twins[number] = other
                break
    return twins


def _is_one(own: Layer, other: Layer) -> bool:
    if own.diff_id or other.diff_id:
        return own.diff_id == other.diff_id
    # Two directories: the same one, if it stood still between the two looks.
    return own.command == other.command and all(
        getattr(own.index, part) == getattr(other.index, part)
        for part in (*COLUMNS, *BLOBS)
    )
