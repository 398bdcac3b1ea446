"""``image waste``: bytes that no container sees or that are stored twice."""

from __future__ import annotations

from collections import Counter

import click

from snapfs.cli.image_opening import inspecting, platform_option
from snapfs.cli.image_progress import ReadingProgress
from snapfs.cli.image_shapes import json_path, shown_path
from snapfs.cli.lazy import Command, examples
from snapfs.cli.session import Session, pass_session
from snapfs.cli.wording import human_bytes
from snapfs.inspect.waste import Waste, find_waste


@click.command(
    cls=Command,
    short_help="Find bytes that are hidden or stored twice.",
    epilog=examples("snapfs image waste oci:DIR", "snapfs image waste ./app.tar"),
)
@click.argument("source", metavar="SOURCE")
@platform_option
@pass_session
def waste(session: Session, source: str, platform: str | None) -> None:
    """List what SOURCE could spare, the largest first, with totals.

    A file counts that a higher layer overwrites, deletes or stores again with other
    attributes, and all equal files but one. Sizes are plain; no byte counts twice.
    """
    with (
        ReadingProgress(session.output, "reading contents", None) as reading,
        inspecting(session, source, platform, reading) as inspection,
    ):
        found = find_waste(inspection)
        commands = [layer.command for layer in inspection.layers]
    causes: Counter[str] = Counter()
    layers: Counter[int] = Counter()
    for one in found:
        causes[one.cause.value] += one.size_bytes
        layers[one.layer + 1] += one.size_bytes
    if session.output.as_json:
        session.output.document(
            {
                "total_bytes": causes.total(),
                "causes": [
                    {"cause": cause, "bytes": size_bytes}
                    for cause, size_bytes in causes.most_common()
                ],
                "layers": [
                    {"layer": number, "bytes": size_bytes}
                    for number, size_bytes in sorted(layers.items())
                ],
                "files": [_shape(one, commands[one.layer]) for one in found],
            }
        )
    elif found:
        _print(session, found, causes, layers)
    else:
        session.output.line("nothing: each byte is seen, and none is stored twice")


def _print(
    session: Session, found: list[Waste], causes: Counter[str], layers: Counter[int]
) -> None:
    session.output.table(
        (">BYTES", ">LAYER", "PATH", "CAUSE", "FIX"),
        [
            (
                human_bytes(one.size_bytes),
                str(one.layer + 1),
                shown_path(one.path),
                one.cause.value,
                one.fix,
            )
            for one in found
        ],
    )
    session.output.line(f"total: {human_bytes(causes.total())}")
    for cause, size_bytes in causes.most_common():
        session.output.line(f"  {cause}: {human_bytes(size_bytes)}")
    for number, size_bytes in sorted(layers.items()):
        session.output.line(f"  layer {number}: {human_bytes(size_bytes)}")


def _shape(one: Waste, command: str) -> dict[str, object]:
    return {
        "layer": one.layer + 1,
        "path": json_path(one.path),
        "bytes": one.size_bytes,
        "cause": one.cause.value,
        "by_layer": one.by_layer + 1,
        "by_path": json_path(one.by_path),
        "fix": one.fix,
        "command": command,
    }
