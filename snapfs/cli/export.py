"""``export``: from committed snapshots to an image that other tools load."""

from __future__ import annotations

from typing import Unpack

import click

from snapfs.cli.image_options import (
    ImageOptions,
    image_options,
    read_settings,
    write_image,
)
from snapfs.cli.keys import KEY
from snapfs.cli.lazy import Command, examples
from snapfs.cli.session import Session, pass_session, suggesting
from snapfs.cli.snapshot_layers import snapshot_layer
from snapfs.errors import FailedPreconditionError
from snapfs.export.chain import base_config, chain_of, check_chain
from snapfs.model import Kind
from snapfs.overlay_format import XattrPrefix

_SNAPSHOT = "snapshot:"


@click.command(
    cls=Command,
    short_help="Make an image of a snapshot and those below it.",
    epilog=examples(
        "snapfs export app -o app.tar && ctr images import app.tar",
        "snapfs export app -o app.tar --format docker-archive --name app:1.2",
        "snapfs export app -o docker://registry.example/team/app:1.2",
    ),
)
@click.argument("what", metavar="WHAT", type=KEY)
@image_options
@pass_session
def export(session: Session, what: str, **options: Unpack[ImageOptions]) -> None:
    """Make an image of the snapshot WHAT, a layer for each in its chain.

    Of an active snapshot the changes so far are the last layer; nobody may write to
    it meanwhile. The same snapshots give the same bytes, also on another machine;
    times are no later than SOURCE_DATE_EPOCH. FILE appears when it is complete and on
    disk; a file that exists is not replaced.
    """
    key = what.removeprefix(_SNAPSHOT)
    settings = read_settings(options, key)
    with session.store() as store, suggesting(store, key):
        chain = chain_of(store, key)
        top = store.details(key)
        prefix = XattrPrefix(store.status().xattr_prefix)
    snapshots = [*chain, top] if top.info.kind is Kind.ACTIVE else chain
    if not snapshots:
        raise FailedPreconditionError(
            f"snapshot {key!r} is a view of nothing: there is no layer to export"
        )

    def check() -> None:
        with session.store() as store:
            check_chain(store, snapshots)

    sources = [snapshot_layer(details, prefix) for details in snapshots]
    write_image(session, options, settings, sources, base_config(chain), check)
