"""``image blame`` and ``image why``: one path through all layers."""

from __future__ import annotations

import os
from typing import Final

import click

from snapfs.cli.image_opening import inspecting, platform_option
from snapfs.cli.image_shapes import TYPES, json_path, mode_text, shown_path
from snapfs.cli.lazy import Command, examples
from snapfs.cli.session import Session, pass_session
from snapfs.cli.wording import human_bytes, timestamp
from snapfs.errors import NotFoundError
from snapfs.inspect.changes import ChangeKind
from snapfs.inspect.history import Event, history, standings
from snapfs.inspect.inspection import Inspection
from snapfs.inspect.resolution import resolve

_VERBS: Final = {
    ChangeKind.ADDED: "added",
    ChangeKind.CHANGED: "changed",
    ChangeKind.REMOVED: "removed",
}


@click.command(
    cls=Command,
    short_help="Tell which layers gave, changed and removed a path.",
    epilog=examples(
        "snapfs image blame oci:DIR /etc/passwd",
        "snapfs image blame ./app.tar /var/cache/apt    # who deleted it?",
    ),
)
@click.argument("source", metavar="SOURCE")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@platform_option
@pass_session
def blame(
    session: Session, source: str, paths: tuple[str, ...], platform: str | None
) -> None:
    """Print the whole history of each PATH, the lowest layer first.

    A path that is gone has a history too. Symlinks before its last component are
    followed within the image.
    """
    with inspecting(session, source, platform) as inspection:
        shapes = [
            _event_shape(inspection, path, event)
            for text in paths
            for path, event in _events(inspection, os.fsencode(text))
        ]
    if session.output.as_json:
        session.output.records(shapes)
        return
    session.output.table(
        (">LAYER", "DID", "PATH", "MODE", ">SIZE", "WHAT", "COMMAND"),
        [
            (
                str(shape["layer"]),
                str(shape["did"]),
                str(shape["path"]),
                str(shape["permissions"]),
                human_bytes(int(str(shape["size_bytes"]))),
                str(shape["cause"]) or ", ".join(map(str, _listed(shape["fields"]))),
                str(shape["command"]),
            )
            for shape in shapes
        ],
    )


def _events(inspection: Inspection, wanted: bytes) -> list[tuple[bytes, Event]]:
    tree = inspection.tree()
    found = resolve(tree, wanted, follows_last=False)
    literal = b"/".join(p for p in wanted.split(b"/") if p not in (b"", b"."))
    path = found.place.path if found.place is not None else literal
    events = [(path, event) for event in history(tree, path)]
    if not events:
        raise NotFoundError(
            f"{inspection.name}: no layer has {shown_path(literal)!r}"
            f"{inspection.near(tree, literal)}"
        )
    return events


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _event_shape(
    inspection: Inspection, path: bytes, event: Event
) -> dict[str, object]:
    layer = inspection.layers[event.layer]
    entry = event.entry
    return {
        "path": json_path(path),
        "layer": layer.number,
        "diff_id": layer.diff_id,
        "did": _VERBS[event.kind],
        "cause": event.cause,
        "fields": list(event.fields),
        "type": TYPES[entry.kind],
        "permissions": mode_text(entry),
        "uid": entry.uid,
        "gid": entry.gid,
        "size_bytes": entry.size_bytes,
        "mtime": timestamp(entry.mtime_ns),
        "command": layer.command,
    }


@click.command(
    cls=Command,
    short_help="Explain how a path resolves.",
    epilog=examples(
        "snapfs image why oci:DIR /bin/sh",
        "snapfs image why ./app.tar /etc/motd",
    ),
)
@click.argument("source", metavar="SOURCE")
@click.argument("path", metavar="PATH")
@platform_option
@pass_session
def why(session: Session, source: str, path: str, platform: str | None) -> None:
    """Tell where PATH leads, and what each layer has there, the highest first.

    Symlinks are followed within the image. That nothing is there is an answer, too.
    """
    with inspecting(session, source, platform) as inspection:
        tree = inspection.tree()
        found = resolve(tree, os.fsencode(path))
        rows = list(standings(tree, found.path))
        near = "" if found.place else inspection.near(tree, found.path)
        supplier = found.place.layer + 1 if found.place is not None else None
    links = [
        (shown_path(step.link.path), os.fsdecode(step.target), step.link.layer + 1)
        for step in found.steps
    ]
    if session.output.as_json:
        session.output.document(
            {
                "path": json_path(found.path),
                "layer": supplier,
                "problem": found.problem,
                "symlinks": [
                    {
                        "path": json_path(step.link.path),
                        "target": step.target.decode("utf-8", "backslashreplace"),
                        "layer": step.link.layer + 1,
                    }
                    for step in found.steps
                ],
                "layers": [
                    {
                        "layer": row.layer + 1,
                        "has": row.has,
                        "fate": row.fate,
                        "cause": row.cause,
                    }
                    for row in rows
                ],
            }
        )
        return
    for link, target, number in links:
        session.output.line(f"{link} -> {target} (symlink of layer {number})")
    end = f"layer {supplier}" if supplier else found.problem + near
    session.output.line(f"{shown_path(found.path)}: {end}")
    for row in rows:
        if row.has:
            cause = f" {row.cause}" if row.cause else ""
            session.output.line(
                f"  layer {row.layer + 1}: {row.has}, {row.fate}{cause}"
            )
