"""``stats``: live statistics of a mount, where its server keeps any."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

import click

from snapfs import mountinfo
from snapfs.cli.lazy import Command, examples
from snapfs.cli.session import Session, pass_session
from snapfs.errors import FailedPreconditionError, UnavailableError

_FUSE_TYPE: Final = "fuse.snapfs-fuse"
_NUMBERS: Final = (
    ("replies", "answers, errors included"),
    ("errors", "of these, errors"),
    ("bytes_in", "bytes of requests"),
    ("bytes_out", "bytes of answers"),
    ("nodes", "objects that the kernel knows"),
    ("copy_ups", "objects copied to the upperdir"),
    ("copied_bytes", "bytes of these"),
)


@click.command(
    cls=Command,
    short_help="Show the statistics of a mount.",
    epilog=examples("snapfs stats /mnt", "snapfs stats /mnt --json | jq .requests"),
)
@click.argument("target", type=click.Path(readable=False))
@pass_session
def stats(session: Session, target: str) -> None:
    """Show what the server of the FUSE mount at TARGET has done since it began.

    How often the kernel has asked for each operation, and what came of it. The kernel
    counts nothing for its own mounts: the exit code is 6 for these.
    """
    path = os.path.abspath(target)
    entry = mountinfo.find(path)
    if entry is None:
        raise FailedPreconditionError(f"{target!r} is not a mount point")
    if entry.type != _FUSE_TYPE:
        raise UnavailableError(
            f"{target!r} is a mount of type {entry.type!r}, served by the kernel, "
            "which keeps no statistics of it"
        )
    from snapfs.fuse.control import read_statistics

    found = read_statistics(entry.device)
    if session.output.as_json:
        session.output.document({"target": path, "device": entry.device, **found})
        return
    requests = found["requests"]
    assert isinstance(requests, Mapping)
    most_first = sorted(requests.items(), key=lambda item: (-item[1], item[0]))
    session.output.table(("REQUESTS", "OF"), [(str(n), name) for name, n in most_first])
    session.output.line("")
    for name, meaning in _NUMBERS:
        session.output.line(f"{found[name]} {meaning}")
    session.output.line(
        f"process {found['pid']}, mode {found['mode']}, {found['age_s']} s old,"
        f" kept by {found['keeper']}, after {found['restarts']} deaths"
    )
    if found["last_death"]:
        session.output.line(f"the last server {found['last_death']}")
