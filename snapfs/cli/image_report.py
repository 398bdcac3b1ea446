"""``image report``: an image on one page of HTML."""

from __future__ import annotations

import os

import click

from snapfs.cli.image_opening import inspecting, platform_option
from snapfs.cli.image_progress import ReadingProgress
from snapfs.cli.lazy import Command, examples
from snapfs.cli.replacing import replacing
from snapfs.cli.session import Session, pass_session
from snapfs.errors import InvalidArgumentError, NotFoundError


@click.command(
    cls=Command,
    short_help="Write an image's report as one HTML file.",
    epilog=examples(
        "snapfs image report oci:DIR -o report.html",
        "snapfs image report docker://debian:12 -o debian.html",
    ),
)
@click.argument("source", metavar="SOURCE")
@click.option(
    "-o",
    "--output",
    "output",
    metavar="FILE",
    type=click.Path(),
    required=True,
    help="Where to write it; what is there is replaced.",
)
@platform_option
@pass_session
def report(session: Session, source: str, output: str, platform: str | None) -> None:
    """Write one page that shows all of SOURCE; it loads nothing and needs no network.

    A treemap, the layers and what each changes, the largest files, what could be
    spared and how, the linter's findings, the config. FILE is complete or not there.
    """
    directory = os.path.dirname(output) or "."
    if not os.path.isdir(directory):
        raise NotFoundError(f"directory {directory!r} does not exist")
    if os.path.isdir(output):
        raise InvalidArgumentError(f"{output!r} is a directory; name a file")
    # Here: most commands need neither.
    from snapfs.cli.report import make_page
    from snapfs.cli.report.facts import gather

    with (
        ReadingProgress(session.output, "reading contents", None) as reading,
        inspecting(session, source, platform, reading) as inspection,
    ):
        page = make_page(gather(inspection, source))
    _write(output, page)
    if session.output.as_json:
        found = {"file": os.path.abspath(output), "size_bytes": len(page.encode())}
        session.output.document(found)


def _write(output: str, page: str) -> None:
    with replacing(output) as file:
        file.write(page.encode())
        # As any file that the user makes; a temporary one is private.
        mask = os.umask(0)
        os.umask(mask)
        os.fchmod(file.fileno(), 0o666 & ~mask)
