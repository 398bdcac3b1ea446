"""Real container images for tests, made offline by the demo's image builder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from demo.make_image import (
    DEFAULT_NAME,
    Layer,
    application_layer,
    base_layer,
    digest,
    update_layer,
    write_image,
)

IMAGE: Final = DEFAULT_NAME
HELLO: Final = "Hello from layer 3.\n"


def image_layers() -> list[Layer]:
    """Return the layers of the demo's image, base first."""
    return [base_layer(), application_layer(), update_layer()]


def write_archive(output: Path, layers: Sequence[Layer], name: str = IMAGE) -> Path:
    """Write ``layers`` as the image ``name`` to the archive ``output``; return it."""
    write_image(output, layers, name)
    return output


def chain_ids(layers: Sequence[Layer]) -> list[str]:
    """Return the chain ID of each layer: the names that containerd commits under.

    OCI image-spec, ``config.md``, section "Layer ChainID".
    """
    chain: list[str] = []
    for layer in layers:
        below = f"{chain[-1]} " if chain else ""
        chain.append(
            digest(f"{below}{layer.diff_id}".encode()) if chain else layer.diff_id
        )
    return chain
