"""What of an image has to be unpacked: what is there already is reused."""

from __future__ import annotations

from dataclasses import dataclass

from snapfs.errors import FailedPreconditionError, NotFoundError
from snapfs.image.resolve import Image, ImageLayer
from snapfs.model import Kind
from snapfs.snapshotter import Snapshotter


@dataclass(frozen=True, slots=True)
class UnpackPlan:
    """The chain of an image, split where the store's part ends.

    Attributes:
        base: The committed snapshot that the rest goes on; "" for nothing.
        present: The image's layers that the store has, lowest first.
        missing: Those that it has not, lowest first.
    """

    base: str
    present: tuple[ImageLayer, ...]
    missing: tuple[ImageLayer, ...]


def plan_unpack(store: Snapshotter, image: Image) -> UnpackPlan:
    """Compare an image with a store.

    A chain ID says everything about a layer and all below it, so the highest one that
    the store has decides.

    Raises:
        FailedPreconditionError: A snapshot has a chain ID as its key and is not
            committed, so that its content is anybody's guess.
    """
    for count in range(len(image.layers), 0, -1):
        name = str(image.layers[count - 1].chain_id)
        try:
            info = store.stat(name)
        except NotFoundError:
            continue
        if info.kind is not Kind.COMMITTED:
            raise FailedPreconditionError(
                f"snapshot {name!r} is {info.kind}, not committed; remove it first"
            )
        return UnpackPlan(name, image.layers[:count], image.layers[count:])
    return UnpackPlan("", (), image.layers)
