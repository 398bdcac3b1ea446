"""``umount``: take a mount away, or say who keeps it busy."""

from __future__ import annotations

import os

import click

from snapfs import mountinfo
from snapfs.cli.changes import Changes, temporary_changes
from snapfs.cli.holders import find_holders
from snapfs.cli.lazy import Command, examples
from snapfs.cli.mounted_layers import layers_of
from snapfs.cli.session import Session, pass_session
from snapfs.errors import (
    FailedPreconditionError,
    PermissionDeniedError,
    UnavailableError,
)
from snapfs.mountinfo import MountEntry


@click.command(
    cls=Command,
    short_help="Unmount what is mounted at TARGET.",
    epilog=examples("snapfs umount /mnt", "snapfs umount --lazy /mnt"),
)
@click.argument("target", type=click.Path(readable=False))
@click.option(
    "--lazy",
    is_flag=True,
    help="Take it out of sight now; it ends when nobody uses it any more.",
)
@pass_session
def umount(session: Session, target: str, lazy: bool) -> None:
    """Unmount what is mounted at TARGET. If it is busy, names who uses it.

    The changes of a mount that was made with --rw and without --upper go with it.
    """
    path = os.path.realpath(target)
    entry = mountinfo.find(path)
    if entry is None:
        raise FailedPreconditionError(f"{target!r} is not a mount point")
    changes = _temporary_changes(entry)
    try:
        session.library.unmount(path, False)
    except FailedPreconditionError as error:
        if not lazy:
            raise FailedPreconditionError(
                f"{target!r} is busy: {_users_of(path)}; end them, or use --lazy"
            ) from error
        session.library.unmount(path, True)
        if changes is not None:
            session.output.note(
                f"{target!r} is still in use; its changes stay in {changes.directory!r}"
            )
        return
    if changes is not None:
        changes.discard()


def _temporary_changes(entry: MountEntry) -> Changes | None:
    """Return the directory that goes with a mount, if it has one."""
    try:
        layers = layers_of(entry)
    except (UnavailableError, PermissionDeniedError):
        return None  # of a server that is gone, or another user's
    return temporary_changes(layers.upper) if layers is not None else None


def _users_of(path: str) -> str:
    below = [
        f"{entry.target!r} is mounted on it"
        for entry in mountinfo.mounts_below(path)
        if entry.target != path
    ]
    users = [*below, *map(str, find_holders(path))]
    return "; ".join(users) or "some process that this user may not look into"
