"""What an unpack came to."""

from __future__ import annotations

from dataclasses import dataclass

from snapfs.image.resolve import ImageLayer
from snapfs.model import Usage
from snapfs.unpack.messages import Applied


@dataclass(frozen=True, slots=True)
class UnpackedLayer:
    """One layer that the store did not have on this chain.

    Attributes:
        layer: The layer.
        applied: How it was applied; None where its content is shared.
        shares: The snapshot whose content it shares; "" for none.
        content_key: What others compare before they share it; None where that is
            not possible.
        root_opaque: Nothing below it shows.
        usage: What its content occupies; None where that is another snapshot's.
        index_generation: Of its directory index; 0 for none.
    """

    layer: ImageLayer
    applied: Applied | None = None
    shares: str = ""
    content_key: str | None = None
    root_opaque: bool = False
    usage: Usage | None = None
    index_generation: int = 0


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What an unpack came to.

    Attributes:
        name: The committed snapshot with the whole image.
        reused: Layers that the store had on this very chain.
        made: The others, lowest first.
        publish_s: How long it took to sync and to publish them.
    """

    name: str
    reused: tuple[ImageLayer, ...]
    made: tuple[UnpackedLayer, ...]
    publish_s: float = 0.0
