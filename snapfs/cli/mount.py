"""``mount``: show a snapshot, or directories, at a place of the user's choice."""

from __future__ import annotations

import os

import click

from snapfs.cli.keys import KEY
from snapfs.cli.lazy import Command, examples
from snapfs.cli.session import Session, pass_session
from snapfs.cli.shapes import mount_shape
from snapfs.cli.what import access_options, parse_access, resolve
from snapfs.errors import NotFoundError


@click.command(
    cls=Command,
    short_help="Mount a snapshot or directories.",
    epilog=examples(
        "snapfs mount base /mnt                     # look at it",
        "snapfs mount work /mnt --rw                # change the active snapshot",
        "snapfs mount base /mnt --upper changes     # change a copy",
        "snapfs mount layers:top:middle:base /mnt   # highest first",
    ),
)
@click.argument("what", type=KEY)
@click.argument("target", type=click.Path(readable=False))
@access_options
@pass_session
def mount(
    session: Session,
    what: str,
    target: str,
    read_only: bool,
    writable: bool,
    upper: str,
) -> None:
    """Mount WHAT at the directory TARGET, read-only unless --rw or --upper is given.

    WHAT is a key, the name of a committed snapshot, 'snapshot:KEY', 'dir:DIR' or
    'layers:DIR:DIR:...' (highest first). Only an active snapshot takes changes
    itself; for all others --upper DIR keeps them. Says which driver serves the mount
    and why.
    """
    access = parse_access(read_only, writable, upper)
    if not os.path.isdir(target):
        raise NotFoundError(f"mount point {target!r} is no existing directory")
    plan = resolve(session, what, access)
    session.library.mount_all(plan.mounts, os.path.realpath(target))
    session.output.note(f"{what!r} is mounted at {target!r}: {plan}")
    if session.output.as_json:
        session.output.document(
            {
                "what": what,
                "target": os.path.realpath(target),
                "read_only": not plan.is_writable,
                "driver": plan.driver,
                "reason": plan.reason,
                "mounts": [mount_shape(item) for item in plan.mounts],
            }
        )
