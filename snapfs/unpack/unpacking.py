"""Unpacking an image: what is there is reused, the rest is published at once."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence

from snapfs.errors import AlreadyExistsError, InvalidArgumentError, NotFoundError
from snapfs.image.config_labels import config_labels
from snapfs.image.resolve import Image
from snapfs.image.source import ImageSource
from snapfs.layer.limits import Policy
from snapfs.model import Durability, NewLayer
from snapfs.snapshotter import Store
from snapfs.stopping import Stop
from snapfs.unpack.labels import COMMAND_LABEL
from snapfs.unpack.pipeline import LayerPipeline
from snapfs.unpack.plan import UnpackPlan, plan_unpack
from snapfs.unpack.results import Unpacked, UnpackedLayer
from snapfs.unpack.settings import NoObserver, UnpackObserver, UnpackSettings
from snapfs.unpack.sharing import (
    CONTENT_LABEL,
    DIFF_ID_LABEL,
    POLICY_LABEL,
    policy_key,
)
from snapfs.unpack.staging import StagedLayers
from snapfs.unpack.write_back import WriteBack

IMAGE_LABEL = "snapfs.io/image"
_LABEL_BYTES = 2048


def unpack_image(
    store: Store,
    source: ImageSource,
    image: Image,
    settings: UnpackSettings,
    observer: UnpackObserver | None = None,
    stop: Stop | None = None,
) -> Unpacked:
    """Make an image's chain of committed snapshots in ``store``.

    Each is named by its chain ID; ``settings.name`` is one more name for the top. On
    any error, and when ``stop`` is asked in time, no snapshot was made and nothing is
    left behind.

    Raises:
        SnapfsError: A layer is damaged or unsafe, the disk is full, or a snapshot
            has one of the names; the message names the layer.
        UnavailableError: It was stopped.
    """
    if not image.layers:
        raise InvalidArgumentError(f"{source.name}: the image has no layers")
    unpacking = _Unpacking(
        store, source, image, settings, observer or NoObserver(), stop or Stop()
    )
    while True:
        plan = plan_unpack(store, image, settings.policy)
        name = "" if _is_named_already(store, settings.name, plan) else settings.name
        try:
            made = unpacking.run(plan, name)
        except AlreadyExistsError:
            # Somebody unpacked a layer of the same chain meanwhile: it is as good.
            if plan_unpack(store, image, settings.policy).base == plan.base:
                raise
            continue
        top = str(image.layers[-1].chain_id)
        return Unpacked(
            settings.name or top, plan.present, tuple(made), unpacking.publish_s
        )


class _Unpacking:
    """One unpack; what is the same each time that it is tried."""

    def __init__(
        self,
        store: Store,
        source: ImageSource,
        image: Image,
        settings: UnpackSettings,
        observer: UnpackObserver,
        stop: Stop,
    ) -> None:
        self._store = store
        self._source = source
        self._whole = config_labels(image.config_content)
        self._settings = settings
        self._observer = observer
        self._stop = stop
        self.publish_s = 0.0

    def run(self, plan: UnpackPlan, name: str) -> list[UnpackedLayer]:
        """Make what is missing, and ``name`` besides unless that is ""."""
        for layer in plan.present:
            self._observer.layer_reused(layer)
        if not plan.missing and not name:
            return []
        store = self._store
        pipeline = LayerPipeline(
            store, self._source, self._settings, self._observer, self._stop
        )
        must_sync = self._settings.durability is not Durability.NONE
        with (
            StagedLayers(store, len(plan.missing) + bool(name)) as staged,
            WriteBack(store.status().root)
            if must_sync and plan.missing
            else contextlib.nullcontext() as write_back,
        ):
            made = pipeline.run(plan.base, plan.missing, staged)
            layers = _new_layers(
                plan.base, made, staged, self._settings.policy, self._whole
            )
            if name:
                top = layers[-1] if layers else None
                number = staged[len(layers)].snapshot_id
                labels = {IMAGE_LABEL: self._source.name, **self._whole}
                named = _named(store, name, number, plan.base, top, labels)
                layers.append(named)
            self._stop.check()
            self._observer.publishing()
            begun_s = time.perf_counter()
            if write_back is not None:
                write_back.finish()
            store.publish(layers, self._settings.durability)
            self.publish_s = time.perf_counter() - begun_s
        return made


def _new_layers(
    base: str,
    made: Sequence[UnpackedLayer],
    staged: StagedLayers,
    policy: Policy,
    whole: Mapping[str, str],
) -> list[NewLayer]:
    """Return the snapshots of the layers; the last one shows the whole image."""
    layers: list[NewLayer] = []
    parent = base
    for index, unpacked in enumerate(made):
        labels = {
            DIFF_ID_LABEL: str(unpacked.layer.diff_id),
            POLICY_LABEL: policy_key(policy),
        }
        if unpacked is made[-1]:
            labels.update(whole)
        if command := _label(unpacked.layer.command):
            labels[COMMAND_LABEL] = command
        if unpacked.content_key:
            labels[CONTENT_LABEL] = unpacked.content_key
        layers.append(
            NewLayer(
                name=str(unpacked.layer.chain_id),
                snapshot_id=staged[index].snapshot_id,
                parent=parent,
                labels=labels,
                shares=unpacked.shares,
                root_opaque=unpacked.root_opaque,
                usage=unpacked.usage,
                index_generation=unpacked.index_generation,
            )
        )
        parent = layers[-1].name
    return layers


def _label(command: str) -> str:
    """Return as much of a command as goes into a label."""
    return command.encode()[:_LABEL_BYTES].decode(errors="ignore")


def _named(
    store: Store,
    name: str,
    number: int,
    base: str,
    top: NewLayer | None,
    labels: Mapping[str, str],
) -> NewLayer:
    """Return the snapshot that shows the whole image under the user's name.

    It has the content and the parent of the image's top layer.
    """
    if top is not None:
        parent, shares, root_opaque = top.parent, top.name, top.root_opaque
    else:
        details = store.details(base)
        parent, shares = details.info.parent, base
        root_opaque = bool(parent) and not details.lowerdirs
    return NewLayer(
        name, number, parent, labels, shares=shares, root_opaque=root_opaque
    )


def _is_named_already(store: Store, name: str, plan: UnpackPlan) -> bool:
    """Whether ``name`` shows this very image already.

    Raises:
        AlreadyExistsError: It is another snapshot.
    """
    if not name:
        return False
    try:
        named = store.details(name)
    except NotFoundError:
        return False
    if plan.missing:
        same = False
    else:
        top = store.details(plan.base)
        same = (named.content, named.lowerdirs) == (top.content, top.lowerdirs)
    if not same:
        raise AlreadyExistsError(
            f"snapshot {name!r} already exists and is not this image; remove it first"
        )
    return True
