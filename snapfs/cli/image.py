"""``image``: the layer debugger. Its commands are loaded when they are called."""

from __future__ import annotations

import click

from snapfs.cli.image_catalog import IMAGE_CATALOG
from snapfs.cli.lazy import LazyGroup, examples
from snapfs.cli.session import Session, pass_session


class ImageGroup(LazyGroup):
    """The commands that look into images."""

    catalog = IMAGE_CATALOG


@click.group(
    cls=ImageGroup,
    short_help="See, search and explain images, without unpacking.",
    epilog=examples(
        "snapfs image layers oci:DIR",
        "snapfs image ls -l docker-archive:app.tar /etc",
        "snapfs image cat docker://debian:12 /etc/os-release",
    ),
)
@click.option("--no-pager", is_flag=True, help="Print long output as it is.")
@click.pass_context
@pass_session
def image(session: Session, ctx: click.Context, no_pager: bool) -> None:
    """Look into images, wherever they are; nothing is unpacked.

    The first look reads each layer once and keeps its index; later ones take the
    index. SOURCE is as for 'snapfs unpack', or dir:DIR, layers:DIR:DIR:... (highest
    first), snapshot:KEY, or the key or name of a snapshot.

    On a terminal long output goes through $PAGER (default: less).
    """
    if not no_pager:
        ctx.call_on_close(session.output.page())
