"""``image layers``: what each layer is, and how much of the tree it changes."""

from __future__ import annotations

import click

from snapfs.cli.image_opening import inspecting, platform_option
from snapfs.cli.lazy import Command, examples
from snapfs.cli.session import Session, pass_session
from snapfs.cli.wording import human_bytes
from snapfs.inspect.changes import ChangeKind, count_changes
from snapfs.inspect.inspection import Inspection, Layer
from snapfs.layer.index import IndexStats

_SHORT_DIGEST = 19  # "sha256:" and 12 digits, as Docker shows them


@click.command(
    cls=Command,
    short_help="List the layers.",
    epilog=examples("snapfs image layers oci:DIR", "snapfs image layers ./app.tar"),
)
@click.argument("source", metavar="SOURCE")
@platform_option
@pass_session
def layers(session: Session, source: str, platform: str | None) -> None:
    """List the layers of SOURCE, the lowest first.

    ENTRIES are the names in the layer. ADDED, CHANGED and REMOVED are paths of the
    tree below: all that vanishes counts, not only what a whiteout names. SIZE is
    stored, FILES plain bytes.
    """
    with inspecting(session, source, platform) as inspection:
        all_stats = [layer.index.stats() for layer in inspection.layers]
        shapes = [
            _shape(inspection, layer, stats)
            for layer, stats in zip(inspection.layers, all_stats, strict=True)
        ]
    if session.output.as_json:
        session.output.records(shapes)
        return
    session.output.table(
        (
            *(">LAYER", "DIFF ID", ">SIZE", ">FILES", ">ENTRIES"),
            *(">ADDED", ">CHANGED", ">REMOVED", "COMMAND"),
        ),
        [
            (
                str(shape["layer"]),
                str(shape["diff_id"])[:_SHORT_DIGEST],
                human_bytes(layer.size_bytes) if layer.digest else "",
                human_bytes(stats.size_bytes),
                str(shape["entries"]),
                str(shape["added"]),
                str(shape["changed"]),
                str(shape["removed"]),
                layer.command,
            )
            for shape, layer, stats in zip(
                shapes, inspection.layers, all_stats, strict=True
            )
        ],
    )


def _shape(
    inspection: Inspection, layer: Layer, stats: IndexStats
) -> dict[str, object]:
    below = inspection.tree().below(layer.number - 1)
    counts = count_changes(below, layer.index)
    return {
        "layer": layer.number,
        "digest": layer.digest,
        "diff_id": layer.diff_id,
        "chain_id": layer.chain_id,
        "stored_bytes": layer.size_bytes,
        "file_bytes": stats.size_bytes,
        "entries": stats.entries,
        "whiteouts": stats.whiteouts,
        "added": counts[ChangeKind.ADDED],
        "changed": counts[ChangeKind.CHANGED],
        "removed": counts[ChangeKind.REMOVED],
        "command": layer.command,
    }
