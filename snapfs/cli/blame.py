"""``blame``: which layer supplies a path of a mount, or of an unpacked snapshot."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence

import click

from snapfs import mountinfo
from snapfs.cli.layer_owners import LayerOwner, LayerOwners
from snapfs.cli.lazy import Command, examples
from snapfs.cli.mounted_layers import layers_of
from snapfs.cli.provenance import Appearance, OverlayLayers, trace
from snapfs.cli.session import Session, pass_session
from snapfs.errors import FailedPreconditionError, NotFoundError
from snapfs.mountinfo import MountEntry
from snapfs.overlay_format import XattrPrefix
from snapfs.state import StatePaths


@dataclasses.dataclass(frozen=True, slots=True)
class _Subject:
    """What is asked about.

    Attributes:
        layers: The directories in question.
        inside: The path in them.
        top: Where the tree begins: a mount point, or a snapshot's directory.
    """

    layers: OverlayLayers
    inside: str
    top: str


@click.command(
    cls=Command,
    short_help="Tell which layer supplies a mounted path.",
    epilog=examples(
        "snapfs blame /mnt/etc/passwd",
        "snapfs blame /mnt/gone                      # who removed it",
        "snapfs image blame oci:app /etc/passwd      # without a mount",
    ),
)
@click.argument("path", type=click.Path(readable=False))
@pass_session
def blame(session: Session, path: str) -> None:
    """Tell which layer of a mount supplies PATH, or has removed it.

    The mount may be the kernel's or FUSE's; PATH may lie in a snapshot's directory,
    too. The first line is the layer that wins; those below are hidden by it, or merged
    with it where they are directories. Layers count from 1, the lowest, as in 'snapfs
    image layers'; those of this store have a key, and the command that made them.
    """
    parent, name = os.path.split(os.path.abspath(path))
    place = os.path.join(os.path.realpath(parent), name)
    owners = _owners(session)
    subject = _subject(place, path, owners)
    found = trace(subject.layers, os.path.normpath(subject.inside))
    if not found:
        raise NotFoundError(f"{path!r} is in no layer of {subject.top!r}")
    _print(session, path, subject, found, owners.of(subject.layers))


def _print(
    session: Session,
    path: str,
    subject: _Subject,
    found: list[Appearance],
    owners: Sequence[LayerOwner],
) -> None:
    rows = []
    shapes = []
    for item in found:
        owner = owners[item.number - 1]
        rows.append(
            (
                *(str(owner.number), str(item.role), owner.key or "-"),
                *(item.layer, owner.command),
            )
        )
        shapes.append(
            {
                "number": item.number,
                "layer": owner.number,
                "role": str(item.role),
                "directory": item.layer,
                "path": item.path,
                "key": owner.key,
                "command": owner.command,
            }
        )
    if session.output.as_json:
        session.output.document({"path": path, "mount": subject.top, "layers": shapes})
        return
    columns = (">LAYER", "ROLE", "KEY", "DIRECTORY", "COMMAND")
    shown = len(columns) if any(row[-1] for row in rows) else len(columns) - 1
    session.output.table(columns[:shown], [row[:shown] for row in rows])


def _subject(place: str, path: str, owners: LayerOwners) -> _Subject:
    entry = _mount_of(place)
    inside = os.path.relpath(place, entry.target)
    layers = layers_of(entry)
    if layers is not None:
        # A bind mount may show a directory of the overlay, not its root.
        inside = os.path.join(entry.root.lstrip("/"), inside)
        return _Subject(layers, inside, entry.target)
    # One layer alone is no overlay: the driver binds its directory.
    mounted = os.stat(entry.target)
    for directory in owners.directories:
        try:
            if os.path.samestat(os.stat(directory), mounted):
                alone = OverlayLayers((directory,), is_overlay=False)
                return _Subject(alone, inside, entry.target)
        except OSError:
            continue  # removed since it was listed
    snapshot = owners.snapshot_of(place)
    if snapshot is not None:
        directory, details = snapshot
        layers = OverlayLayers((directory, *details.lowerdirs), owners.prefix)
        return _Subject(layers, os.path.relpath(place, directory), directory)
    raise FailedPreconditionError(
        f"{path!r} lies on a mount of type {entry.type!r}, which is no overlay and no "
        "snapshot of this store"
    )


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


def _owners(session: Session) -> LayerOwners:
    """Return whose each layer directory of the store is."""
    if not os.path.exists(StatePaths(session.root).snapshots):
        return LayerOwners((), XattrPrefix.TRUSTED)  # what is mounted says its own
    with session.store() as store:
        prefix = XattrPrefix(store.status().xattr_prefix)
        return LayerOwners(store.list_details(), prefix)
