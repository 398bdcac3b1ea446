"""``image verify``: whether an image is what its documents say."""

from __future__ import annotations

import tempfile

import click

from snapfs.cli.image_opening import platform_option
from snapfs.cli.image_sources import open_image_source, read_source
from snapfs.cli.lazy import Command, examples
from snapfs.cli.session import Session, pass_session
from snapfs.cli.wording import counted
from snapfs.errors import DataLossError, SnapfsError
from snapfs.image.platform import parse_platform
from snapfs.image.resolve import ImageLayer, open_image
from snapfs.image.source import ImageSource
from snapfs.layer.index_cache import IndexCache
from snapfs.layer.limits import Limits
from snapfs.unpack.indexes import layer_index


@click.command(
    cls=Command,
    short_help="Check digests, sizes and diff IDs.",
    epilog=examples("snapfs image verify oci:DIR", "snapfs image verify ./app.tar"),
)
@click.argument("source", metavar="SOURCE")
@platform_option
@pass_session
def verify(session: Session, source: str, platform: str | None) -> None:
    """Read all of the image SOURCE and check what its documents promise.

    These are the digests and sizes of the manifest, the config and each layer, each
    layer's diff ID, and that each can be unpacked. Nothing kept is believed. The exit
    code is 7 if anything is wrong.
    """
    wanted = parse_platform(platform) if platform else None
    with open_image_source(read_source(session, source)) as opened:
        image = open_image(opened, wanted)
        said = [(layer, _problem(opened, layer)) for layer in image.layers]
        name = opened.name
    shapes = [
        {
            "layer": number,
            "digest": str(layer.descriptor.digest),
            "diff_id": str(layer.diff_id),
            "chain_id": str(layer.chain_id),
            "problem": problem,
        }
        for number, (layer, problem) in enumerate(said, 1)
    ]
    if session.output.as_json:
        session.output.records(shapes)
    else:
        rows = [
            (str(number), str(layer.descriptor.digest), problem or "ok")
            for number, (layer, problem) in enumerate(said, 1)
        ]
        session.output.table((">LAYER", "DIGEST", "STATE"), rows)
    bad = [str(shape["layer"]) for shape in shapes if shape["problem"]]
    if bad:
        raise DataLossError(
            f"{name}: {counted(len(bad), 'layer')} of {len(said)} failed the check:"
            f" {', '.join(bad)}"
        )


def _problem(source: ImageSource, layer: ImageLayer) -> str:
    """Return what is wrong with a layer; "" for nothing."""
    # A cache of its own: what was kept earlier says nothing of the blob now.
    with tempfile.TemporaryDirectory(prefix="snapfs-verify-") as empty:
        try:
            layer_index(source, layer, IndexCache(empty), Limits())
        except SnapfsError as error:
            return str(error)
    return ""
