"""What the file tree shows, as rows: a directory is looked into when it is opened."""

from __future__ import annotations

import dataclasses
from enum import StrEnum
from typing import Final

from snapfs.inspect.changes import ChangeKind, is_same_directory
from snapfs.inspect.inspection import Inspection
from snapfs.inspect.merged import MergedTree, Place
from snapfs.layer.kinds import Kind


class View(StrEnum):
    """What the tree shows of a layer.

    ``MERGED``: all that the layers up to it show, and what it has removed. ``LAYER``:
    what it holds itself, its whiteouts too.
    """

    MERGED = "merged"
    LAYER = "layer"


@dataclasses.dataclass(slots=True)
class TreeRow:
    """One line of the tree.

    Attributes:
        path: From the root, without a leading slash.
        depth: How far it is indented.
        place: What is shown there; None for what the layer has removed.
        before: What the layers below show there; None for nothing.
        change: What the layer did to it; None for nothing.
        holds_changes: Whether the layer did something below it.
        is_open: Whether its contents follow.
    """

    path: bytes
    depth: int
    place: Place | None
    before: Place | None
    change: ChangeKind | None
    holds_changes: bool
    is_open: bool = False

    @property
    def name(self) -> bytes:
        """The last part of the path."""
        return self.path.rpartition(b"/")[2]

    @property
    def is_directory(self) -> bool:
        """Whether it can be opened."""
        shown = self.place or self.before
        return shown is not None and shown.is_directory


_NOTHING: Final = Place(b"", 0, 0)


class TreeModel:
    """The rows of one layer's tree.

    Args:
        inspection: The image.
        number: The layer, from 1.
        view: What is shown of it.
        opened: Paths of directories that are open; shared by the trees of all layers.
        is_filtered: Whether only what the layer changes is shown.
    """

    def __init__(
        self,
        inspection: Inspection,
        number: int,
        view: View,
        opened: set[bytes],
        *,
        is_filtered: bool = False,
    ) -> None:
        self.number: Final = number
        self.view: Final = view
        self.is_filtered: Final = is_filtered
        self._opened = opened
        self._index = inspection.layers[number - 1].index
        self.below: Final = MergedTree(
            [layer.index for layer in inspection.layers[: number - 1]]
        )
        if view is View.LAYER:
            self.tree = inspection.tree(layer=number)
        else:
            self.tree = inspection.tree(at=number)
        root = TreeRow(b"", -1, self.tree.root, self.below.root, None, True)
        self.rows: list[TreeRow] = self._below(root)

    def toggle(self, position: int) -> None:
        """Open a directory, or close it; nothing for anything else."""
        row = self.rows[position]
        if not row.is_directory:
            return
        if row.is_open:
            self.close(position)
            return
        row.is_open = True
        self._opened.add(row.path)
        self.rows[position + 1 : position + 1] = self._below(row)

    def close(self, position: int) -> None:
        """Take the contents of a directory away."""
        row = self.rows[position]
        end = position + 1
        while end < len(self.rows) and self.rows[end].depth > row.depth:
            end += 1
        del self.rows[position + 1 : end]
        row.is_open = False
        self._opened.discard(row.path)

    def parent(self, position: int) -> int:
        """Return the row of the directory that a row is in; itself at the top."""
        depth = self.rows[position].depth
        for above in range(position - 1, -1, -1):
            if self.rows[above].depth < depth:
                return above
        return position

    def reveal(self, path: bytes) -> int:
        """Open what leads to ``path``; return its row, or the nearest one above it."""
        position = -1
        parts = path.split(b"/")
        for depth in range(len(parts)):
            wanted = b"/".join(parts[: depth + 1])
            found = self._find(wanted, position)
            if found is None:
                break
            position = found
            is_last = depth == len(parts) - 1
            if not is_last and not self.rows[position].is_open:
                self.toggle(position)
        return max(position, 0)

    def _find(self, path: bytes, parent: int) -> int | None:
        depth = self.rows[parent].depth + 1 if parent >= 0 else 0
        for position in range(parent + 1, len(self.rows)):
            row = self.rows[position]
            if row.depth < depth:
                return None
            if row.depth == depth and row.path == path:
                return position
        return None

    def _below(self, top: TreeRow) -> list[TreeRow]:
        """Return the rows below a directory, with those of what is open in it."""
        rows = []
        pending = [iter(self._children(top))]
        while pending:
            row = next(pending[-1], None)
            if row is None:
                pending.pop()
                continue
            rows.append(row)
            if row.is_directory and row.path in self._opened:
                row.is_open = True
                pending.append(iter(self._children(row)))
        return rows

    def _children(self, parent: TreeRow) -> list[TreeRow]:
        if self._is_untouched(parent):
            assert parent.place is not None
            return [
                TreeRow(place.path, parent.depth + 1, place, place, None, False)
                for place in self.tree.children(parent.place)
            ]
        names: dict[bytes, tuple[Place | None, Place | None]] = {}
        if parent.place is not None and parent.place.is_directory:
            for shown in self.tree.children(parent.place):
                names[shown.path] = (shown, None)
        if parent.before is not None and parent.before.is_directory:
            for before in self.below.children(parent.before):
                place = names.get(before.path, _NONE)[0]
                if place is not None or self.view is View.MERGED:
                    names[before.path] = (place, before)
        rows = [
            self._row(path, parent.depth + 1, place, before)
            for path, (place, before) in sorted(names.items())
        ]
        if self.is_filtered:
            rows = [row for row in rows if row.change or row.holds_changes]
        return rows

    def _is_untouched(self, directory: TreeRow) -> bool:
        """Whether the layer has no part in a directory: it is as the layers below it.

        A quick answer for most directories of most layers.
        """
        return (
            self.view is View.MERGED
            and not self.is_filtered
            and directory.place is not None
            and directory.place == directory.before
            and self._own(directory.place) is None
        )

    def _row(
        self, path: bytes, depth: int, place: Place | None, before: Place | None
    ) -> TreeRow:
        own = self._own(place)
        change = self._change(place, before, own)
        holds = own is not None and len(self._index.children(own)) > 0
        return TreeRow(path, depth, place, before, change, holds and change is None)

    def _own(self, place: Place | None) -> int | None:
        """Return the layer's own number for a place, if it has a part in it."""
        if place is None:
            return None
        layer = self.number - 1 - self.tree.first
        for part, node in place.parts or ((place.layer, place.node),):
            if part == layer:
                return node
        return None

    def _change(
        self, place: Place | None, before: Place | None, own: int | None
    ) -> ChangeKind | None:
        if place is None:
            return ChangeKind.REMOVED
        if own is None:
            return None
        if self._index.kinds[own] == Kind.WHITEOUT:
            return ChangeKind.REMOVED
        if before is None:
            return ChangeKind.ADDED
        if is_same_directory(self.below, self._index, own, before):
            return None
        return ChangeKind.CHANGED


_NONE: Final = (None, None)
