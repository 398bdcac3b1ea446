"""Documents for sources that have none: written here, read like all others."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from snapfs.digest import Digest
from snapfs.image.descriptor import Descriptor


def encode_manifest(
    media_type: str, config: Descriptor, layers: Sequence[Descriptor]
) -> bytes:
    """Return an image manifest of ``media_type``."""
    return msgspec.json.encode(
        {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": _entry(config),
            "layers": [_entry(layer) for layer in layers],
        }
    )


def encode_index(media_type: str, images: Sequence[Descriptor]) -> bytes:
    """Return an index of ``images``, with their platforms."""
    return msgspec.json.encode(
        {
            "schemaVersion": 2,
            "mediaType": media_type,
            "manifests": [_entry(image) for image in images],
        }
    )


def encode_config(diff_ids: Sequence[Digest]) -> bytes:
    """Return the config of an image that runs on anything: layers and no more."""
    return msgspec.json.encode(
        {
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [str(d) for d in diff_ids]},
        }
    )


def _entry(descriptor: Descriptor) -> dict[str, object]:
    entry: dict[str, object] = {
        "mediaType": descriptor.media_type,
        "digest": str(descriptor.digest),
        "size": descriptor.size_bytes,
    }
    if descriptor.annotations:
        entry["annotations"] = dict(descriptor.annotations)
    platform = descriptor.platform
    if platform is not None:
        entry["platform"] = {
            "os": platform.os,
            "architecture": platform.architecture,
            "variant": platform.variant,
        }
    return entry
