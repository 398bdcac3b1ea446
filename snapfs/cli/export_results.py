"""What an export came to, for people and as JSON."""

from __future__ import annotations

from snapfs.cli.output import complain
from snapfs.cli.wording import counted, human_bytes
from snapfs.export.image import Exported, ExportedLayer
from snapfs.export.settings import ExportSettings


def exported_shape(
    exported: Exported, settings: ExportSettings, output: str
) -> dict[str, object]:
    """Return the document of an export. Scripts rely on it: only add to it."""
    return {
        "output": output,
        "name": str(settings.name) if settings.name else "",
        "digest": str(exported.manifest.digest),
        "image_id": str(exported.config.digest),
        "layers": [_layer_shape(layer) for layer in exported.layers],
    }


def _layer_shape(layer: ExportedLayer) -> dict[str, object]:
    blob = layer.written.blob
    return {
        "snapshot": layer.label,
        "digest": str(blob.digest),
        "diff_id": str(blob.diff_id),
        "chain_id": str(layer.chain_id),
        "media_type": layer.descriptor.media_type,
        "stored_bytes": blob.size_bytes,
        "plain_bytes": blob.plain_bytes,
        "entries": layer.written.members,
        "compressor": blob.compressor,
        "warnings": list(layer.written.warnings),
    }


def tell_warnings(exported: Exported) -> None:
    """Print a line for each warning, with its layer."""
    for layer in exported.layers:
        for line in layer.written.warnings:
            complain(f"warning: {layer.label}: {line}")


def summary(exported: Exported, output: str) -> str:
    """Return one line that says what was done."""
    blobs = [layer.written.blob for layer in exported.layers]
    entries = sum(layer.written.members for layer in exported.layers)
    plain = human_bytes(sum(blob.plain_bytes for blob in blobs))
    stored = human_bytes(sum(blob.size_bytes for blob in blobs))
    return (
        f"{counted(len(blobs), 'layer')} ({counted(entries, 'entry', 'entries')},"
        f" {plain}, stored as {stored}) exported to {output!r}"
    )
