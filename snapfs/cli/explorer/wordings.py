"""How layers, files and changes read in the terminal interface."""

from __future__ import annotations

import os
from typing import Final

from rich.style import Style
from rich.text import Text

from snapfs.cli.explorer.tree_model import TreeRow
from snapfs.cli.image_shapes import mode_text, shown_path
from snapfs.cli.wording import counted, human_bytes, one_line, printable, timestamp
from snapfs.inspect.changes import ChangeKind
from snapfs.inspect.inspection import Inspection, Layer
from snapfs.inspect.merged import MergedTree
from snapfs.layer.index import IndexEntry
from snapfs.layer.kinds import Kind

# Names of the terminal's own palette: they follow its theme, and any terminal has them.
COLOURS: Final = {
    ChangeKind.ADDED: Style(color="green"),
    ChangeKind.CHANGED: Style(color="yellow"),
    ChangeKind.REMOVED: Style(color="red", strike=True),
}
_MARKS: Final = {
    ChangeKind.ADDED: "+",
    ChangeKind.CHANGED: "~",
    ChangeKind.REMOVED: "-",
    None: " ",
}
_DIRECTORY: Final = Style(bold=True)
_DIM: Final = Style(dim=True)
_UPRIGHT: Final = Style(strike=False)
_SIZE_COLUMNS: Final = 9


def name_of(path: bytes) -> str:
    """Return the last part of a path, printable."""
    return printable(os.fsdecode(path.rpartition(b"/")[2]))


def path_of(path: bytes) -> str:
    """Return an absolute path, printable."""
    return printable(shown_path(path))


def layer_line(layer: Layer) -> Text:
    """Return one line for a layer."""
    line = Text(f"{layer.number:>3} ", no_wrap=True)
    size_bytes = layer.size_bytes or layer.index.stats().size_bytes
    line.append(f"{human_bytes(size_bytes):>{_SIZE_COLUMNS}} ", _DIM)
    line.append(short_command(layer.command) or layer.digest[:19])
    return line


def short_command(command: str) -> str:
    """Return a command of the history without what every one has."""
    text = one_line(command)
    for prefix in ("/bin/sh -c #(nop) ", "/bin/sh -c "):
        text = text.removeprefix(prefix)
    return text.strip()


def tree_line(tree: MergedTree, below: MergedTree, row: TreeRow) -> Text:
    """Return one line of the file tree."""
    style = COLOURS.get(row.change, Style()) if row.change else Style()
    mark = _MARKS[row.change] if row.change or not row.holds_changes else "."
    line = Text(no_wrap=True)
    line.append(f"{mark} ", style + _UPRIGHT)
    entry = _entry(tree, below, row)
    is_file = entry is not None and entry.kind is Kind.FILE
    size = human_bytes(entry.size_bytes) if entry is not None and is_file else ""
    line.append(f"{size:>{_SIZE_COLUMNS}} ", _DIM)
    line.append("  " * row.depth)
    sign = ("v " if row.is_open else "> ") if row.is_directory else "  "
    line.append(sign)
    name = printable(os.fsdecode(row.name))
    if row.is_directory:
        line.append(name + "/", _DIRECTORY + style)
    else:
        line.append(name, style)
        line.append(_behind(entry), _DIM)
    return line


def _entry(tree: MergedTree, below: MergedTree, row: TreeRow) -> IndexEntry | None:
    if row.place is not None:
        return tree.entry(row.place)
    return below.entry(row.before) if row.before is not None else None


def _behind(entry: IndexEntry | None) -> str:
    if entry is None:
        return ""
    target = printable(os.fsdecode(entry.link_target))
    if entry.kind is Kind.SYMLINK:
        return f" -> {target}"
    if entry.kind is Kind.LOWER_LINK:
        return f" link to /{target}"
    if entry.kind in (Kind.FILE, Kind.DIRECTORY):
        return ""
    return f" ({entry.kind.words})"


_DID: Final = {
    ChangeKind.ADDED: "added by this layer",
    ChangeKind.CHANGED: "changed by this layer",
    ChangeKind.REMOVED: "removed by this layer",
}


def row_details(
    inspection: Inspection, tree: MergedTree, below: MergedTree, row: TreeRow
) -> list[str]:
    """Return all about one row of the tree, a line each."""
    lines = [path_of(row.path)]
    if row.change is not None:
        lines.append(_DID[row.change])
    entry = _entry(tree, below, row)
    if entry is None:
        return lines
    lines += [
        f"{mode_text(entry)} {entry.uid}:{entry.gid}",
        timestamp(entry.mtime_ns)[:19].replace("T", " "),
    ]
    if entry.kind is Kind.FILE:
        lines.append(f"{human_bytes(entry.size_bytes)} ({entry.size_bytes})")
    if entry.is_opaque:
        lines.append("opaque: hides what is below")
    if entry.xattrs:
        names = sorted(printable(os.fsdecode(name)) for name in entry.xattrs)
        lines.append(f"xattrs: {', '.join(names)}")
    if behind := _behind(entry).strip():
        lines.append(behind)
    shown, of = (row.place, tree) if row.place is not None else (row.before, below)
    assert shown is not None
    layer = inspection.layers[of.first + shown.layer]
    lines.append(f"from layer {layer.number}: {short_command(layer.command)}")
    return lines


def layer_details(layer: Layer) -> list[str]:
    """Return all about one layer, a line each."""
    stats = layer.index.stats()
    entries = counted(stats.entries, "entry", "entries")
    lines = [
        f"layer {layer.number}",
        f"{human_bytes(stats.size_bytes)} in {entries}",
    ]
    if layer.digest:
        lines += [f"{human_bytes(layer.size_bytes)} stored", layer.digest[:27]]
    if stats.whiteouts:
        lines.append(counted(stats.whiteouts, "whiteout"))
    return [*lines, short_command(layer.command)]
