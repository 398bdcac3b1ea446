"""``image ls`` and ``image tree``: a directory of an image."""

from __future__ import annotations

import os
from collections.abc import Iterator

import click

from snapfs.cli.access import Selection
from snapfs.cli.access_options import selection_options
from snapfs.cli.image_opening import inspecting
from snapfs.cli.image_shapes import LONG_COLUMNS, entry_shape, long_row, shown_path
from snapfs.cli.lazy import Command, examples
from snapfs.cli.output import speaks_unicode
from snapfs.cli.session import Session, pass_session
from snapfs.inspect.merged import MergedTree, Place

_UNICODE = ("├── ", "└── ", "│   ", "    ")
_ASCII = ("|-- ", "`-- ", "|   ", "    ")


@click.command(
    "ls",
    cls=Command,
    short_help="List a directory.",
    epilog=examples(
        "snapfs image ls oci:DIR",
        "snapfs image ls -l docker-archive:app.tar /etc",
        "snapfs image ls --layer 2 ./app.tar /    # its own names and whiteouts",
    ),
)
@click.argument("source", metavar="SOURCE")
@click.argument("path", metavar="[PATH]", default="/")
@click.option("-l", "is_long", is_flag=True, help="Modes, owners, sizes, times, layers")
@selection_options
@pass_session
def list_files(
    session: Session,
    source: str,
    path: str,
    is_long: bool,
    selection: Selection,
) -> None:
    """List what SOURCE shows in the directory PATH, or the file PATH.

    Symlinks on the way are followed within the image. LAYER is the one that
    supplies a name.
    """
    with inspecting(session, source, selection.platform) as inspection:
        tree = inspection.tree(at=selection.at, layer=selection.layer)
        place = inspection.find(tree, os.fsencode(path), follows_last=True)
        places = tree.children(place) if place.is_directory else [place]
        if session.output.as_json:
            session.output.records(entry_shape(tree, shown) for shown in places)
        elif is_long:
            rows = [long_row(tree, shown, _name(shown)) for shown in places]
            session.output.table(LONG_COLUMNS, rows)
        else:
            for shown in places:
                session.output.line(_name(shown))


def _name(place: Place) -> str:
    return os.fsdecode(place.path.rpartition(b"/")[2])


@click.command(
    cls=Command,
    short_help="Draw a directory's tree.",
    epilog=examples(
        "snapfs image tree --depth 2 oci:DIR",
        "snapfs image tree --at 1 ./app.tar /etc",
    ),
)
@click.argument("source", metavar="SOURCE")
@click.argument("path", metavar="[PATH]", default="/")
@click.option(
    "--depth",
    metavar="N",
    type=click.IntRange(min=1),
    help="Levels to show. Default: all.",
)
@selection_options
@pass_session
def tree(
    session: Session,
    source: str,
    path: str,
    depth: int | None,
    selection: Selection,
) -> None:
    """Draw all that SOURCE shows below PATH."""
    with inspecting(session, source, selection.platform) as inspection:
        merged = inspection.tree(at=selection.at, layer=selection.layer)
        top = inspection.find(merged, os.fsencode(path), follows_last=True)
        if session.output.as_json:
            base = top.path.count(b"/") + bool(top.path)
            session.output.records(
                entry_shape(merged, place)
                for place in merged.walk(top)
                if depth is None or place.path.count(b"/") < base + depth
            )
            return
        session.output.line(shown_path(top.path))
        for text in _lines(merged, top, depth):
            session.output.line(text)


def _lines(merged: MergedTree, top: Place, depth: int | None) -> Iterator[str]:
    """Draw with a stack of its own: paths may be a thousand components deep."""
    branch, last, trunk, blank = _UNICODE if speaks_unicode() else _ASCII
    pending = [(iter(_flagged(merged, top)), "")]
    while pending:
        places, indent = pending[-1]
        step = next(places, None)
        if step is None:
            pending.pop()
            continue
        place, is_last = step
        entry = merged.entry(place)
        target = f" -> {os.fsdecode(entry.link_target)}" if entry.link_target else ""
        yield indent + (last if is_last else branch) + _name(place) + target
        if place.is_directory and (depth is None or len(pending) < depth):
            deeper = indent + (blank if is_last else trunk)
            pending.append((iter(_flagged(merged, place)), deeper))


def _flagged(merged: MergedTree, place: Place) -> list[tuple[Place, bool]]:
    if not place.is_directory:
        return []
    children = merged.children(place)
    return [(child, child is children[-1]) for child in children]
