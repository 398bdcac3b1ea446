"""``umount``: take a mount away, or say who keeps it busy."""

from __future__ import annotations

import os

import click

from snapfs import mountinfo
from snapfs.cli.holders import find_holders
from snapfs.cli.lazy import Command, examples
from snapfs.cli.session import Session, pass_session
from snapfs.errors import FailedPreconditionError


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
    """Unmount what is mounted at TARGET. If it is busy, names who uses it."""
    path = os.path.realpath(target)
    if mountinfo.find(path) is None:
        raise FailedPreconditionError(f"{target!r} is not a mount point")
    try:
        session.library.unmount(path, lazy)
    except FailedPreconditionError as error:
        raise FailedPreconditionError(
            f"{target!r} is busy: {_users_of(path)}; end them, or use --lazy"
        ) from error


def _users_of(path: str) -> str:
    below = [
        f"{entry.target!r} is mounted on it"
        for entry in mountinfo.mounts_below(path)
        if entry.target != path
    ]
    users = [*below, *map(str, find_holders(path))]
    return "; ".join(users) or "some process that this user may not look into"
