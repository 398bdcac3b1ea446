"""``stats``: live statistics of a mount, where its server keeps any."""

from __future__ import annotations

import os

import click

from snapfs import mountinfo
from snapfs.cli.lazy import Command, examples
from snapfs.cli.session import Session, pass_session
from snapfs.errors import FailedPreconditionError, UnavailableError


@click.command(
    cls=Command,
    short_help="Show the statistics of a mount.",
    epilog=examples("snapfs stats /mnt"),
)
@click.argument("target", type=click.Path(readable=False))
@pass_session
def stats(session: Session, target: str) -> None:
    """Show the statistics of the mount at TARGET.

    Only a mount that a process of snapfs serves has any; the kernel counts nothing
    for its own mounts, and the exit code is 6.
    """
    entry = mountinfo.find(os.path.abspath(target))
    if entry is None:
        raise FailedPreconditionError(f"{target!r} is not a mount point")
    raise UnavailableError(
        f"{target!r} is a mount of type {entry.type!r}, served by the kernel, which "
        "keeps no statistics of it"
    )
