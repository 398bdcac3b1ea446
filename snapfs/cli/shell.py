"""``shell``: look around in a tree that is mounted for this one command only."""

from __future__ import annotations

import os
import tempfile

import click

from snapfs.cli.keys import KEY
from snapfs.cli.lazy import Command, examples
from snapfs.cli.namespace import NamespaceRun, run_in_namespace, without_dashes
from snapfs.cli.session import Session, pass_session
from snapfs.cli.what import access_options, parse_access, resolve


@click.command(
    cls=Command,
    short_help="Run a shell where WHAT is mounted, then forget the mount.",
    epilog=examples(
        "snapfs shell base",
        "snapfs shell --rw work sh -c 'echo hello > file'",
        "snapfs shell --chroot base /bin/ls -l /",
    ),
    context_settings={"allow_interspersed_args": False},
)
@access_options
@click.option(
    "--chroot", is_flag=True, help="Make the tree the root directory of the command."
)
@click.argument("what", type=KEY)
@click.argument("command", metavar="[CMD...]", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
@pass_session
def shell(
    session: Session,
    ctx: click.Context,
    what: str,
    command: tuple[str, ...],
    read_only: bool,
    writable: bool,
    upper: str,
    chroot: bool,
) -> None:
    """Mount WHAT in a private mount namespace and run CMD there, or $SHELL.

    CMD starts in the mounted tree; $SNAPFS_TREE names it. Only CMD and its children
    see the mount, and it ends with them. Without root, a user namespace makes CMD
    root of its own files. The exit code is that of CMD. Options stand before WHAT.
    """
    plan = resolve(session, what, parse_access(read_only, writable, upper))
    default = "/bin/sh" if chroot else os.environ.get("SHELL", "/bin/sh")
    words = without_dashes(command) or (default,)
    target = tempfile.mkdtemp(prefix="snapfs-shell-")
    try:
        session.output.note(f"{what!r} is mounted at {target!r}: {plan}")
        run = NamespaceRun(plan.mounts, target, words, target, is_chrooted=chroot)
        code = run_in_namespace(run)
    finally:
        os.rmdir(target)  # empty: nothing was ever mounted on it in this namespace
    ctx.exit(code)
