"""``explore``: the terminal interface on an image."""

from __future__ import annotations

import importlib.util
import os
import sys

import click

from snapfs.cli.image_opening import inspecting, platform_option
from snapfs.cli.lazy import Command, examples
from snapfs.cli.session import Session, pass_session
from snapfs.errors import InvalidArgumentError, UnavailableError


@click.command(
    cls=Command,
    short_help="Look around in an image, on the terminal.",
    epilog=examples(
        "snapfs explore docker://debian:12",
        "snapfs explore ./app.tar",
        "snapfs explore snapshot:work",
    ),
)
@click.argument("source", metavar="SOURCE")
@platform_option
@pass_session
def explore(session: Session, source: str, platform: str | None) -> None:
    """Show the layers of SOURCE and the tree of each: what it adds, changes, removes.

    Nothing is unpacked. Press ? for the keys: contents as text or hex, the history of
    a path, searches, what the image could spare, what differs between two layers, and
    copying files out.
    """
    if importlib.util.find_spec("textual") is None:
        raise UnavailableError(
            "explore needs the Python package textual (the extra 'tui'): pip install"
            " textual; 'snapfs image --help' lists what works without"
        )
    is_dumb = os.environ.get("TERM", "dumb") in ("dumb", "unknown")
    is_seen = all(s.isatty() for s in (sys.stdin, sys.stdout, sys.stderr))
    if is_dumb or not is_seen:
        raise UnavailableError(
            "explore needs a terminal; 'snapfs image tree' prints to a file"
        )
    from snapfs.cli.explorer.app import Explorer

    with inspecting(session, source, platform) as inspection:
        if not inspection.layers:
            raise InvalidArgumentError(f"{inspection.name}: the image has no layers")
        Explorer(inspection).run()
