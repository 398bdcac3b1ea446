"""The main screen: layers on the left, the tree of the one under the cursor."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Footer, Static

from snapfs.cli.explorer.background import Background
from snapfs.cli.explorer.content import head_of
from snapfs.cli.explorer.extraction import Extraction
from snapfs.cli.explorer.keys import BINDINGS, HELP, OF_MAIN_SCREEN
from snapfs.cli.explorer.panes import FileTree, LayerList
from snapfs.cli.explorer.questions import search, tell_diff, tell_history, tell_waste
from snapfs.cli.explorer.rows import Rows
from snapfs.cli.explorer.screens import (
    ContentScreen,
    Finding,
    Findings,
    FindingsScreen,
    HelpScreen,
    Question,
)
from snapfs.cli.explorer.tree_model import TreeModel, View
from snapfs.cli.explorer.wordings import layer_details, path_of, row_details
from snapfs.cli.wording import counted, human_bytes, printable
from snapfs.inspect.inspection import Inspection
from snapfs.inspect.merged import Place
from snapfs.layer.kinds import Kind


class Explorer(App[None]):
    """The terminal interface on one image."""

    CSS = """
    Screen { layout: vertical; }
    #title { height: 1; background: $primary; color: $text; text-style: bold; }
    #left { width: 30; }
    #layers { height: 1fr; max-height: 50%; }
    #details { height: auto; max-height: 50%; border-top: solid $primary; }
    #tree { border-left: solid $primary; }
    Question, HelpScreen { align: center middle; }
    #question, Input { width: 90%; }
    #help { width: 62; height: auto; padding: 0 1; border: solid $primary;
            background: $surface; }
    """
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = BINDINGS

    def __init__(self, inspection: Inspection) -> None:
        super().__init__()
        self._inspection = inspection
        self._opened: set[bytes] = set()
        self._view = View.MERGED
        self._is_filtered = False
        self._marked = 0
        self._layer_details: dict[int, list[str]] = {}
        self._last: FindingsScreen | None = None
        self.background = Background(self)

    def compose(self) -> ComposeResult:
        """Make the parts."""
        yield Static("", id="title", markup=False)
        with Horizontal():
            with Vertical(id="left"):
                yield LayerList(self._inspection)
                yield Static("", id="details", markup=False)
            yield FileTree(self._model(len(self._inspection.layers)))
        yield Footer()

    def on_mount(self) -> None:
        """Begin at the top layer: the image as it is."""
        self._layer_list.rows_changed(len(self._inspection.layers) - 1)
        self._file_tree.rows_changed(0)
        self._file_tree.focus()

    @property
    def _layer_list(self) -> LayerList:
        return self.screen_stack[0].query_one(LayerList)

    @property
    def _file_tree(self) -> FileTree:
        return self.screen_stack[0].query_one(FileTree)

    def _model(self, number: int) -> TreeModel:
        return TreeModel(
            self._inspection,
            number,
            self._view,
            self._opened,
            is_filtered=self._is_filtered,
        )

    def on_rows_moved(self, message: Rows.Moved) -> None:
        """Show the tree of the layer, and the details of what the cursor is on."""
        if message.rows is self._layer_list:
            self._show_layer()
        self._tell()

    def on_descendant_focus(self) -> None:
        """Show the details of what the cursor is on."""
        self._tell()

    def on_rows_chosen(self, message: Rows.Chosen) -> None:
        """Open what was chosen."""
        if message.rows is self._layer_list:
            self._file_tree.focus()
            return
        row = self._file_tree.row
        if message.rows is not self._file_tree or row is None:
            return
        if row.is_directory:
            self._file_tree.toggle()
        elif row.place is not None:
            self._open(row.place)
        else:
            self.notify("this layer has removed it; look at the one before")

    def _show_layer(self, *, is_other: bool = False) -> None:
        number = self._layer_list.current.number
        if is_other or number != self._file_tree.model.number:
            self._file_tree.show(self._model(number))

    def _tell(self) -> None:
        layer = self._layer_list.current
        if self.focused is self._layer_list or self._file_tree.row is None:
            lines = self._layer_details.setdefault(layer.number, [])
            lines[:] = lines or layer_details(layer)
        else:
            model, row = self._file_tree.model, self._file_tree.row
            lines = row_details(self._inspection, model.tree, model.below, row)
        base = self.screen_stack[0]
        base.query_one("#details", Static).update("\n".join(lines))
        seen = (
            f"as of layer {layer.number}"
            if self._view is View.MERGED
            else f"layer {layer.number} alone"
        )
        filtered = ", changes only" if self._is_filtered else ""
        marked = f", diff from layer {self._marked}" if self._marked else ""
        name = printable(self._inspection.name)
        base.query_one("#title", Static).update(f"{seen}{filtered}{marked}  {name}")

    def _open(self, place: Place) -> None:
        tree = self._file_tree.model.tree
        entry = tree.entry(place)
        if entry.kind is not Kind.FILE:
            self.notify(f"{path_of(place.path)} is {entry.kind.words}")
            return

        def read() -> bytes:
            return head_of(self._inspection.read(tree, place))

        title = path_of(place.path)
        self.push_screen(ContentScreen(title, entry.size_bytes, read, self.background))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leave the keys to what is over the main screen, if anything is."""
        del parameters
        return action not in OF_MAIN_SCREEN or len(self.screen_stack) == 1

    def action_help(self) -> None:
        """Show the keys."""
        self.push_screen(HelpScreen(HELP))

    def action_view(self) -> None:
        """Show the merged tree, or the layer alone."""
        self._view = View.LAYER if self._view is View.MERGED else View.MERGED
        self._show_layer(is_other=True)

    def action_filter(self) -> None:
        """Show only what the layer changes, or all."""
        self._is_filtered = not self._is_filtered
        self._show_layer(is_other=True)

    def action_history(self) -> None:
        """Tell what each layer did to the path under the cursor."""
        row = self._file_tree.row
        if row is not None:
            path = row.path
            title = f"history of {path_of(path)}"
            self._ask(title, lambda: tell_history(self._inspection, path))

    def action_waste(self) -> None:
        """Tell what the image could spare."""
        title = "what the image could spare"
        self._ask(title, lambda: tell_waste(self._inspection))

    def action_diff(self) -> None:
        """Mark the layer, or compare it with the one that is marked."""
        number = self._layer_list.current.number
        if not self._marked:
            self._marked = number
            self.notify(f"diff from layer {number}: go to another and press d again")
            self._tell()
            return
        first, self._marked = self._marked, 0
        self._tell()
        if first == number:
            self.notify("no layer is marked any more")
            return
        title = f"from layer {first} to layer {number}"
        self._ask(title, lambda: tell_diff(self._inspection, first, number))

    def action_search(self) -> None:
        """Ask for what is to be found, and find it."""
        tree = self._file_tree.model.tree

        def found(words: str | None) -> None:
            if words is not None:
                title = f"find {printable(words)}"
                self._ask(title, lambda: search(tree, words))

        self.push_screen(
            Question("find names (* ? [] match, a / looks at paths)"), found
        )

    def action_again(self) -> None:
        """Show the last findings again."""
        if self._last is not None:
            self._show_findings(self._last.again())

    def _ask(self, title: str, find: Callable[[], Findings]) -> None:
        self._show_findings(FindingsScreen(title, find, self.background))

    def _show_findings(self, screen: FindingsScreen) -> None:
        self._last = screen
        self.push_screen(screen, self._go)

    def _go(self, finding: Finding | None) -> None:
        """Show a finding in the tree."""
        if finding is None or finding.path is None:
            return
        if finding.layer:
            self._layer_list.cursor = finding.layer - 1
            self._show_layer()
        self._file_tree.reveal(finding.path)
        self._file_tree.focus()

    def action_size(self) -> None:
        """Tell how much a directory holds."""
        row = self._file_tree.row
        if row is None or row.place is None or not row.is_directory:
            return
        tree, place = self._file_tree.model.tree, row.place

        def count() -> str:
            files = [tree.entry(found) for found in tree.walk(place)]
            sizes = [f.size_bytes for f in files if f.kind is Kind.FILE]
            text = f"{human_bytes(sum(sizes))} in {counted(len(sizes), 'file')}"
            return f"{path_of(place.path)}: {text}"

        self.background.run(count, self.notify, self._complain)

    def _complain(self, text: str) -> None:
        self.notify(text, severity="error")

    def action_extract(self) -> None:
        """Copy what the cursor is on out of the image."""
        row = self._file_tree.row
        if row is None or row.place is None:
            return
        tree, place = self._file_tree.model.tree, row.place
        if not row.is_directory and tree.entry(place).kind is not Kind.FILE:
            self.notify("only files and directories are copied")
            return
        copy = Extraction(self._inspection, tree, place)

        def answered(destination: str | None) -> None:
            if destination is not None:
                work = partial(copy.to, destination)
                self.background.run(work, self.notify, self._complain)

        name = os.fsdecode(row.name)
        self.push_screen(Question("copy it to", os.path.join(".", name)), answered)
