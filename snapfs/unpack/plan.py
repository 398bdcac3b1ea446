"""What of an image has to be unpacked: what is there already is reused."""

from __future__ import annotations

from dataclasses import dataclass

from snapfs.errors import FailedPreconditionError, NotFoundError
from snapfs.image.resolve import Image, ImageLayer
from snapfs.layer.limits import Policy
from snapfs.model import Kind
from snapfs.snapshotter import Snapshotter
from snapfs.unpack.sharing import POLICY_LABEL, policy_key


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


def plan_unpack(store: Snapshotter, image: Image, policy: Policy) -> UnpackPlan:
    """Compare an image with a store.

    A chain ID says everything about a layer and all below it, so the highest one that
    the store has decides.

    Raises:
        FailedPreconditionError: A snapshot has a chain ID as its key and is not
            committed, so that its content is anybody's guess; or it was unpacked by
            another policy, so that it is not what was asked for.
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
        if info.labels.get(POLICY_LABEL, policy_key(policy)) != policy_key(policy):
            raise FailedPreconditionError(
                f"snapshot {name!r} was unpacked with other options for devices,"
                " setuid, xattrs or owners; use the same, or remove it first"
            )
        return UnpackPlan(name, image.layers[:count], image.layers[count:])
    return UnpackPlan("", (), image.layers)
