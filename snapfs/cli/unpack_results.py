"""What ``unpack`` came to, for people and as JSON."""

from __future__ import annotations

from snapfs.cli.output import Output, complain
from snapfs.cli.shapes import usage_shape
from snapfs.cli.unpack_progress import short_digest
from snapfs.cli.wording import counted, human_bytes
from snapfs.image.resolve import Image, ImageLayer
from snapfs.unpack.messages import StageTimes
from snapfs.unpack.results import Unpacked, UnpackedLayer

_STAGES = ("read", "inflate", "hash", "parse", "write", "total")


def unpacked_shape(image: Image, unpacked: Unpacked) -> dict[str, object]:
    """Return the document of an unpack. Scripts rely on it: only add to it."""
    made = {item.layer.chain_id: item for item in unpacked.made}
    return {
        "name": unpacked.name,
        "source": image.source_name,
        "digest": str(image.descriptor.digest),
        "image_id": str(image.image_id),
        "layers": [
            _layer_shape(layer, made.get(layer.chain_id)) for layer in image.layers
        ],
        "publish_s": unpacked.publish_s,
    }


def _layer_shape(layer: ImageLayer, made: UnpackedLayer | None) -> dict[str, object]:
    applied = made.applied if made else None
    return {
        "digest": str(layer.descriptor.digest),
        "diff_id": str(layer.diff_id),
        "chain_id": str(layer.chain_id),
        "reused": made is None,
        "shared": made.shares if made else "",
        "stored_bytes": layer.descriptor.size_bytes,
        "plain_bytes": applied.plain_bytes if applied else None,
        "entries": applied.entries if applied else None,
        "usage": usage_shape(made.usage) if made and made.usage else None,
        "times": _seconds(applied.times) if applied else None,
        "warnings": list(applied.warnings) if applied else [],
    }


def _seconds(times: StageTimes) -> dict[str, float]:
    return {f"{stage}_s": getattr(times, f"{stage}_s") for stage in _STAGES}


def tell_warnings(image: Image, unpacked: Unpacked) -> None:
    """Print a line for each warning, with its layer."""
    numbers = {layer.chain_id: n for n, layer in enumerate(image.layers, 1)}
    for made in unpacked.made:
        layer = made.layer
        where = f"layer {numbers[layer.chain_id]}, {layer.descriptor.digest}"
        for line in made.applied.warnings if made.applied else ():
            complain(f"warning: {where}: {line}")


def summary(unpacked: Unpacked, elapsed_s: float) -> str:
    """Return one line that says what was done."""
    applied = [made.applied for made in unpacked.made if made.applied]
    shared = len(unpacked.made) - len(applied)
    parts = []
    if applied:
        entries = counted(sum(item.entries for item in applied), "entry", "entries")
        size = human_bytes(sum(item.plain_bytes for item in applied))
        layers = counted(len(applied), "layer")
        parts.append(f"{layers} unpacked ({entries}, {size}, {elapsed_s:.1f} s)")
    if shared:
        parts.append(f"{counted(shared, 'layer')} shared with other snapshots")
    if unpacked.reused:
        parts.append(f"{counted(len(unpacked.reused), 'layer')} there already")
    return ", ".join(parts)


def tell_times(output: Output, image: Image, unpacked: Unpacked) -> None:
    """Show the time that each stage of each layer was at work, on standard error."""
    made = {item.layer.chain_id: item for item in unpacked.made}
    rows = [
        (
            str(number),
            short_digest(layer.descriptor.digest),
            *_cells(made.get(layer.chain_id)),
        )
        for number, layer in enumerate(image.layers, 1)
    ]
    columns = (
        "LAYER",
        "BLOB",
        ">ENTRIES",
        ">SIZE",
        *(f">{s.upper()}" for s in _STAGES),
    )
    output.table(columns, rows, is_data=False)
    output.note(f"synced and published in {unpacked.publish_s:.2f} s")


def _cells(made: UnpackedLayer | None) -> list[str]:
    if made is None or made.applied is None:
        word = "there" if made is None else "shared"
        return ["-", word, *["-"] * len(_STAGES)]
    times = _seconds(made.applied.times).values()
    size = human_bytes(made.applied.plain_bytes)
    return [str(made.applied.entries), size, *(f"{time_s:.2f}" for time_s in times)]
