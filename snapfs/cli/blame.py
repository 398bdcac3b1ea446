"""``blame``: which layer directory supplies a path inside an overlay mount."""

from __future__ import annotations

import os
from collections.abc import Mapping

import click

from snapfs import mountinfo
from snapfs.cli.lazy import Command, examples
from snapfs.cli.provenance import Appearance, OverlayLayers, trace
from snapfs.cli.session import Session, pass_session
from snapfs.errors import FailedPreconditionError, NotFoundError
from snapfs.mountinfo import MountEntry
from snapfs.state import StatePaths


@click.command(
    cls=Command,
    short_help="Tell which layer supplies a mounted path.",
    epilog=examples("snapfs blame /mnt/etc/passwd", "snapfs blame /mnt/gone"),
)
@click.argument("path", type=click.Path(readable=False))
@pass_session
def blame(session: Session, path: str) -> None:
    """Tell which layer of an overlay mount supplies PATH, or has removed it.

    The first line is the layer that wins; those below are hidden by it, or merged
    with it where they are directories. Layers of this store have a key.
    """
    parent, name = os.path.split(os.path.abspath(path))
    place = os.path.join(os.path.realpath(parent), name)
    entry = _mount_of(place)
    keys = _keys(session)
    layers = _layers(entry, path, keys)
    inside = os.path.relpath(place, entry.target)
    if layers.is_overlay:
        # A bind mount may show a directory of the overlay, not its root.
        inside = os.path.join(entry.root.lstrip("/"), inside)
    found = trace(layers, os.path.normpath(inside))
    if not found:
        raise NotFoundError(f"{path!r} is in no layer of the mount {entry.target!r}")
    _print(session, path, entry, found, keys)


def _print(
    session: Session,
    path: str,
    entry: MountEntry,
    found: list[Appearance],
    keys: Mapping[str, str],
) -> None:
    if session.output.as_json:
        session.output.document(
            {
                "path": path,
                "mount": entry.target,
                "layers": [
                    {
                        "number": item.number,
                        "role": str(item.role),
                        "directory": item.layer,
                        "path": item.path,
                        "key": keys.get(item.layer, ""),
                    }
                    for item in found
                ],
            }
        )
        return
    rows = [
        (str(item.number), str(item.role), keys.get(item.layer, "-"), item.layer)
        for item in found
    ]
    session.output.table((">LAYER", "ROLE", "KEY", "DIRECTORY"), rows)


def _mount_of(place: str) -> MountEntry:
    """Return the mount that ``place`` lies in; of stacked ones, the one on top."""
    where = place
    while True:
        entry = mountinfo.find(where)
        if entry is not None:
            return entry
        if where == "/":
            raise FailedPreconditionError("this process has no root mount to look at")
        where = os.path.dirname(where)


def _layers(entry: MountEntry, path: str, keys: Mapping[str, str]) -> OverlayLayers:
    if entry.type == "overlay":
        return OverlayLayers.from_options(entry.super_options)
    # One layer alone is no overlay: the driver binds its directory.
    mounted = os.stat(entry.target)
    for directory in keys:
        try:
            if os.path.samestat(os.stat(directory), mounted):
                return OverlayLayers((directory,), is_overlay=False)
        except OSError:
            continue  # removed since it was listed
    raise FailedPreconditionError(
        f"{path!r} lies on a mount of type {entry.type!r}, which is no overlay and no "
        "snapshot of this store"
    )


def _keys(session: Session) -> dict[str, str]:
    """Return the key of each layer directory that belongs to the store."""
    if not os.path.exists(StatePaths(session.root).snapshots):
        return {}  # an overlay can be looked at without a store
    with session.store() as store:
        return {
            os.path.join(details.directory, "fs"): details.info.name
            for details in store.list_details()
        }
