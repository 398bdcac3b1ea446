"""``mounts``: the mounts of a snapshot, as data or as commands for a shell."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence

import click

from snapfs.cli.keys import KEY
from snapfs.cli.lazy import Command, examples
from snapfs.cli.output import Output
from snapfs.cli.session import Session, pass_session, suggesting
from snapfs.cli.shapes import mount_shape
from snapfs.model import Mount


@click.command(
    cls=Command,
    short_help="Print the mounts of a snapshot.",
    epilog=examples("snapfs mounts work", "snapfs mounts work --shell | sh -e"),
)
@click.argument("key", type=KEY)
@click.option("--shell", is_flag=True, help="Print ready mount commands.")
@click.option(
    "--target",
    metavar="DIR",
    default="/mnt",
    show_default=True,
    help="The mount point in those commands.",
)
@pass_session
def mounts(session: Session, key: str, shell: bool, target: str) -> None:
    """Print the mounts of the active snapshot or view KEY."""
    with session.store() as store, suggesting(store, key):
        found = store.mounts(key)
    if shell and not session.output.as_json:
        for mount in found:
            session.output.raw(f"{mount_command(mount, target)}\n")
    else:
        print_mounts(session.output, key, found)


def print_mounts(output: Output, key: str, mounts: Sequence[Mount]) -> None:
    """Print ``mounts`` as one document, or as the columns of fstab(5)."""
    if output.as_json:
        shapes = [mount_shape(mount) for mount in mounts]
        output.document({"key": key, "mounts": shapes})
        return
    rows = [
        (mount.type, mount.source, mount.target or "-", ",".join(mount.options))
        for mount in mounts
    ]
    output.table(("TYPE", "SOURCE", "TARGET", "OPTIONS"), rows)


def mount_command(mount: Mount, target: str) -> str:
    """Return the mount(8) command for one mount, quoted for a POSIX shell."""
    words = ["mount"]
    # "bind" is an option for mount(8), containerd makes it a type.
    if mount.type != "bind":
        words += ["-t", mount.type]
    if mount.options:
        words += ["-o", ",".join(mount.options)]
    below = mount.target.lstrip("/")
    words += ["--", mount.source, os.path.join(target, below) if below else target]
    return shlex.join(words)
