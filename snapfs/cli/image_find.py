"""``image find``: names in an image by what they are."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator
from typing import Final

import click

from snapfs.cli.access import Selection
from snapfs.cli.access_options import selection_options
from snapfs.cli.image_opening import inspecting
from snapfs.cli.image_shapes import (
    LONG_COLUMNS,
    entry_shape,
    layer_number,
    long_row,
    shown_path,
)
from snapfs.cli.lazy import Command, examples
from snapfs.cli.session import Session, pass_session
from snapfs.cli.unpack_options import SIZE
from snapfs.inspect.merged import MergedTree, Place
from snapfs.layer.kinds import Kind

_LETTERS: Final = {
    "f": Kind.FILE,
    "d": Kind.DIRECTORY,
    "l": Kind.SYMLINK,
    "c": Kind.CHARACTER_DEVICE,
    "b": Kind.BLOCK_DEVICE,
    "p": Kind.FIFO,
    "w": Kind.WHITEOUT,
}


@click.command(
    cls=Command,
    short_help="Find files by their properties.",
    epilog=examples(
        "snapfs image find oci:DIR /usr --name '*.so*'",
        "snapfs image find -l ./app.tar --larger 10M",
        "snapfs image find --from 3 oci:DIR --type f    # what layer 3 supplies",
    ),
)
@click.argument("source", metavar="SOURCE")
@click.argument("path", metavar="[PATH]", default="/")
@click.option("-l", "is_long", is_flag=True, help="Modes, owners, sizes, times, layers")
@click.option("--name", metavar="PATTERN", help="The name matches a shell pattern.")
@click.option("--path", "whole", metavar="PATTERN", help="The whole path matches it.")
@click.option(
    "--type", "kind", type=click.Choice(list(_LETTERS)), help="As for find(1)."
)
@click.option("--larger", metavar="SIZE", type=SIZE, help="Files larger than this.")
@click.option(
    "--mode",
    metavar="OCTAL",
    help="All these permission bits are set: 4000 finds setuid files.",
)
@click.option(
    "--from",
    "supplier",
    metavar="N",
    type=click.IntRange(min=1),
    help="Layer N supplies it.",
)
@selection_options
@pass_session
def find(
    session: Session,
    source: str,
    path: str,
    is_long: bool,
    name: str | None,
    whole: str | None,
    kind: str | None,
    larger: int | None,
    mode: str | None,
    supplier: int | None,
    selection: Selection,
) -> None:
    """Print the paths below PATH that have all the properties asked for."""
    bits = _bits(mode) if mode else 0
    with inspecting(session, source, selection.platform) as inspection:
        tree = inspection.tree(at=selection.at, layer=selection.layer)
        top = inspection.find(tree, os.fsencode(path), follows_last=True)
        wanted = _LETTERS[kind] if kind else None

        def fits(place: Place) -> bool:
            if supplier is not None and layer_number(tree, place) != supplier:
                return False
            if not _is_named(place, name, whole):
                return False
            return _has(tree, place, wanted, larger, bits)

        found = (p for p in _with_top(tree, top) if fits(p))
        if session.output.as_json:
            session.output.records(entry_shape(tree, place) for place in found)
        elif is_long:
            rows = [long_row(tree, place, shown_path(place.path)) for place in found]
            session.output.table(LONG_COLUMNS, rows)
        else:
            for place in found:
                session.output.line(shown_path(place.path))


def _with_top(tree: MergedTree, top: Place) -> Iterator[Place]:
    if top.path:
        yield top
    if top.is_directory:
        yield from tree.walk(top)


def _is_named(place: Place, name: str | None, whole: str | None) -> bool:
    path = place.path
    if name is not None:
        own = path.rpartition(b"/")[2]
        if not fnmatch.fnmatchcase(own, os.fsencode(name)):
            return False
    return whole is None or fnmatch.fnmatchcase(b"/" + path, os.fsencode(whole))


def _has(
    tree: MergedTree, place: Place, kind: Kind | None, larger: int | None, bits: int
) -> bool:
    if kind is None and larger is None and not bits:
        return True
    entry = tree.entry(place)
    if kind is not None and entry.kind is not kind:
        return False
    if larger is not None and (entry.kind is not Kind.FILE):
        return False
    if larger is not None and entry.size_bytes <= larger:
        return False
    return entry.mode & bits == bits


def _bits(text: str) -> int:
    try:
        return int(text, 8)
    except ValueError as error:
        raise click.BadParameter(f"--mode {text!r} is not octal; try 4000") from error
