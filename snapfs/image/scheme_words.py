"""The words before the first colon of a SOURCE, apart from what reads the rest."""

from __future__ import annotations

from typing import Final

from snapfs.image.recognise import Scheme

DOCKER: Final = "docker://"
LAYERS: Final = "layers"
CONTAINERD: Final = "containerd"
SNAPSHOT: Final = "snapshot"

SCHEMES: Final = frozenset({*Scheme, LAYERS, CONTAINERD, SNAPSHOT})
"""Those that end at a colon: all but :data:`DOCKER`."""


def has_scheme(text: str) -> bool:
    """Tell whether a word says itself what it names, whatever snapshots there are."""
    scheme, colon, _ = text.partition(":")
    return text.startswith(DOCKER) or (bool(colon) and scheme in SCHEMES)
