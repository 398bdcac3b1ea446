"""``image squash``: an image of one layer that shows what many show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import click

from snapfs.cli.image_opening import inspecting, platform_option
from snapfs.cli.image_options import (
    ImageOptions,
    image_options,
    read_settings,
    write_image,
)
from snapfs.cli.image_sources import read_source
from snapfs.cli.lazy import Command, examples
from snapfs.cli.session import Session, pass_session
from snapfs.cli.squashing import SquashedLayer
from snapfs.export.chain import base_config, chain_of, check_chain
from snapfs.export.config import Step
from snapfs.image.reference import SnapshotReference
from snapfs.model import SnapshotDetails


@click.command(
    cls=Command,
    short_help="Make one layer of all, as a new image.",
    epilog=examples(
        "snapfs image squash ./app.tar -o small.tar",
        "snapfs image squash snapshot:app -o app.tar --name app:flat",
    ),
)
@click.argument("source", metavar="SOURCE")
@platform_option
@image_options
@pass_session
def squash(
    session: Session,
    source: str,
    platform: str | None,
    **options: Unpack[ImageOptions],
) -> None:
    """Make an image of one layer that shows what all layers of SOURCE show.

    Nothing need be unpacked. What a container sees, and how it starts, stays as it
    is; what higher layers hide or replace is gone. Options are those of 'snapfs
    export'.
    """
    settings = read_settings(options, "")
    reference = read_source(session, source)
    chain: Sequence[SnapshotDetails] = ()
    if isinstance(reference, SnapshotReference):
        with session.store() as store:
            chain = chain_of(store, reference.key)

    def check() -> None:
        if chain:
            with session.store() as store:
                check_chain(store, chain)

    with inspecting(session, source, platform) as inspection:
        image = inspection.image
        config = image.config_content if image else base_config(chain)
        layer = SquashedLayer(inspection, Step(None, f"snapfs image squash {source}"))
        write_image(
            session, options, settings, [layer], config, check, has_base_layers=False
        )
