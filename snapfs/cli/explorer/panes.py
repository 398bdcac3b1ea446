"""The two lists of the main screen: layers, and the tree of one of them."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType

from snapfs.cli.explorer.rows import Rows
from snapfs.cli.explorer.tree_model import TreeModel, TreeRow
from snapfs.cli.explorer.wordings import layer_line, tree_line
from snapfs.inspect.inspection import Inspection, Layer


class LayerList(Rows):
    """The layers, the lowest first."""

    def __init__(self, inspection: Inspection) -> None:
        super().__init__(id="layers")
        self._of_image = inspection.layers
        self._lines = [layer_line(layer) for layer in self._of_image]

    @property
    def current(self) -> Layer:
        """The one under the cursor."""
        return self._of_image[self.cursor]

    def row_count(self) -> int:
        """See :class:`Rows`."""
        return len(self._of_image)

    def row_text(self, number: int) -> Text:
        """See :class:`Rows`."""
        return self._lines[number]


class FileTree(Rows):
    """The tree of one layer."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,l,space", "expand", "open", show=False),
        Binding("left,h", "collapse", "close", show=False),
    ]

    def __init__(self, model: TreeModel) -> None:
        super().__init__(id="tree")
        self.model = model

    @property
    def row(self) -> TreeRow | None:
        """The one under the cursor; None in an empty tree."""
        rows = self.model.rows
        return rows[self.cursor] if rows else None

    def show(self, model: TreeModel) -> None:
        """Show another tree, with the cursor on the same path if it is there."""
        path = self.row.path if self.row is not None else b""
        self.model = model
        self.reveal(path)

    def reveal(self, path: bytes) -> None:
        """Put the cursor on a path; what leads there is opened."""
        self.rows_changed(self.model.reveal(path))

    def row_count(self) -> int:
        """See :class:`Rows`."""
        return len(self.model.rows)

    def row_text(self, number: int) -> Text:
        """See :class:`Rows`."""
        model = self.model
        return tree_line(model.tree, model.below, model.rows[number])

    def action_expand(self) -> None:
        """Open the directory, or go into it."""
        row = self.row
        if row is None or not row.is_directory:
            return
        if row.is_open:
            self.action_move(1)
        else:
            self.model.toggle(self.cursor)
            self.rows_changed()

    def action_collapse(self) -> None:
        """Close the directory, or go to the one that this is in."""
        row = self.row
        if row is None:
            return
        if row.is_open:
            self.model.close(self.cursor)
            self.rows_changed()
        else:
            self.cursor = self.model.parent(self.cursor)

    def toggle(self) -> None:
        """Open or close the directory under the cursor."""
        self.model.toggle(self.cursor)
        self.rows_changed()
