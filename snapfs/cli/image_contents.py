"""``image cat`` and ``image get``: contents of files in an image."""

from __future__ import annotations

import os
import sys

import click

from snapfs.cli.access import Selection
from snapfs.cli.access_options import selection_options
from snapfs.cli.image_opening import inspecting
from snapfs.cli.lazy import Command, examples
from snapfs.cli.replacing import replacing
from snapfs.cli.session import Session, pass_session
from snapfs.errors import AlreadyExistsError, NotFoundError
from snapfs.inspect.inspection import Inspection
from snapfs.inspect.merged import MergedTree, Place
from snapfs.layer.kinds import Kind


@click.command(
    cls=Command,
    short_help="Print the content of files.",
    epilog=examples(
        "snapfs image cat docker://debian:12 /etc/os-release",
        "snapfs image cat --at 1 ./app.tar /etc/motd    # as the first layer had it",
    ),
)
@click.argument("source", metavar="SOURCE")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@selection_options
@pass_session
def cat(
    session: Session,
    source: str,
    paths: tuple[str, ...],
    selection: Selection,
) -> None:
    """Write the files PATH to standard output, byte for byte.

    Symlinks are followed within the image.
    """
    with inspecting(session, source, selection.platform) as inspection:
        tree = inspection.tree(at=selection.at, layer=selection.layer)
        places = [
            inspection.find(tree, os.fsencode(path), follows_last=True)
            for path in paths
        ]
        for place in places:
            for piece in inspection.read(tree, place):
                sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()


@click.command(
    cls=Command,
    short_help="Copy one file out of an image.",
    epilog=examples(
        "snapfs image get oci:DIR /usr/bin/tool ./tool",
        "snapfs image get ./app.tar /etc/passwd /tmp    # into the directory",
    ),
)
@click.argument("source", metavar="SOURCE")
@click.argument("path", metavar="PATH")
@click.argument("destination", metavar="DEST", type=click.Path())
@click.option("--force", is_flag=True, help="Replace DEST if it is there.")
@selection_options
@pass_session
def get(
    session: Session,
    source: str,
    path: str,
    destination: str,
    force: bool,
    selection: Selection,
) -> None:
    """Copy the file PATH of SOURCE to DEST, with its permission bits and time.

    Setuid and setgid bits are left out; the copy belongs to you. DEST is complete or
    not there. A directory as DEST takes the file's name.
    """
    name = os.fsencode(os.path.basename(path.rstrip("/")))
    destination = destination_for(destination, name, may_replace=force)
    with inspecting(session, source, selection.platform) as inspection:
        tree = inspection.tree(at=selection.at, layer=selection.layer)
        place = inspection.find(tree, os.fsencode(path), follows_last=True)
        size = copy_file(inspection, tree, place, destination)
    if session.output.as_json:
        found = os.path.abspath(destination)
        session.output.document({"file": found, "size_bytes": size})


def destination_for(destination: str, name: bytes, *, may_replace: bool = False) -> str:
    """Return where a file goes: into a directory by its name.

    Raises:
        AlreadyExistsError: Something is there, and is not to be replaced.
    """
    if os.path.isdir(destination):
        destination = os.path.join(destination, os.fsdecode(name))
    if os.path.lexists(destination) and not may_replace:
        raise AlreadyExistsError(f"{destination!r} is there; --force replaces it")
    return destination


def copy_file(
    inspection: Inspection, tree: MergedTree, place: Place, destination: str
) -> int:
    """Copy one file out of an image; return its size. It is complete or not there.

    Raises:
        InvalidArgumentError: It is no file.
        NotFoundError: The directory of ``destination`` does not exist.
        OSError: It cannot be written.
    """
    pieces = inspection.read(tree, place)
    entry = tree.entry(place)
    assert entry.kind is Kind.FILE  # read() has refused all else
    parent = os.path.dirname(destination) or "."
    if not os.path.isdir(parent):
        raise NotFoundError(f"directory {parent!r} does not exist")
    with replacing(destination) as file:
        for piece in pieces:
            if piece.count(0) == len(piece):
                file.seek(len(piece), os.SEEK_CUR)  # a hole is as good
            else:
                file.write(piece)
        file.truncate(entry.size_bytes)
        file.flush()
        os.fchmod(file.fileno(), entry.mode & 0o777)
        os.utime(file.fileno(), ns=(entry.mtime_ns, entry.mtime_ns))
    return entry.size_bytes
