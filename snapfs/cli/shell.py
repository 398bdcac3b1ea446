"""``shell``: look around in a tree that is mounted for this one command only."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence

import click

from snapfs.cli.access import Access, Selection
from snapfs.cli.access_options import access_options, selection_options
from snapfs.cli.keys import WHAT
from snapfs.cli.lazy import Command, examples
from snapfs.cli.mount_plan import MountPlan, tell_mounted
from snapfs.cli.namespace import NamespaceRun, run_in_namespace, without_dashes
from snapfs.cli.session import Session, pass_session
from snapfs.cli.signals import ended_by_sigterm
from snapfs.cli.what import resolve


@click.command(
    cls=Command,
    short_help="Run a shell where WHAT is mounted, then forget the mount.",
    epilog=examples(
        "snapfs shell docker://debian:12",
        "snapfs shell base",
        "snapfs shell --rw work sh -c 'echo hello > file'",
        "snapfs shell --chroot base /bin/ls -l /",
    ),
    context_settings={"allow_interspersed_args": False},
)
@access_options
@selection_options
@click.option(
    "--chroot", is_flag=True, help="Make the tree the root directory of the command."
)
@click.argument("what", type=WHAT)
@click.argument("command", metavar="[CMD...]", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
@pass_session
def shell(
    session: Session,
    ctx: click.Context,
    what: str,
    command: tuple[str, ...],
    access: Access,
    selection: Selection,
    chroot: bool,
) -> None:
    """Mount WHAT in a private mount namespace and run CMD there, or $SHELL.

    CMD starts in the mounted tree; $SNAPFS_TREE names it. Only CMD and its children
    see the mount, and it ends with them. Without root, a user namespace makes CMD
    root of its own files. The exit code is that of CMD. Options stand before WHAT.
    """
    default = "/bin/sh" if chroot else os.environ.get("SHELL", "/bin/sh")
    words = without_dashes(command) or (default,)
    with ended_by_sigterm():
        plan = resolve(session, what, access, selection)
        code = _run(session, plan, words, is_chrooted=chroot)
    ctx.exit(code)


def _run(
    session: Session, plan: MountPlan, words: Sequence[str], *, is_chrooted: bool
) -> int:
    """Run a command in the mounted tree, and leave nothing of the mount."""
    target = tempfile.mkdtemp(prefix="snapfs-shell-")
    try:
        tell_mounted(session.output, plan, target, "the command")
        return run_in_namespace(
            NamespaceRun(plan.mounts, target, words, target, is_chrooted=is_chrooted)
        )
    finally:
        os.rmdir(target)  # empty: nothing was ever mounted on it in this namespace
        plan.discard()
