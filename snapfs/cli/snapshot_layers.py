"""Which layer a snapshot is: what it holds itself, without those below it."""

from __future__ import annotations

from snapfs.export.chain import is_root_opaque
from snapfs.export.config import Step
from snapfs.export.diff_layer import DiffLayer
from snapfs.export.layer_source import DirectoryLayer, LayerSource
from snapfs.layer.stored_owners import StoredOwners
from snapfs.model import Kind, SnapshotDetails
from snapfs.overlay_format import XattrPrefix
from snapfs.unpack.sharing import DIFF_ID_LABEL
from snapfs.unpack.unpacking import IMAGE_LABEL


def snapshot_layer(details: SnapshotDetails, prefix: XattrPrefix) -> LayerSource:
    """Return the layer of a committed or an active snapshot.

    What was unpacked is written as it lies there: every mark in it was in a layer; and
    so is what hides all below it, with which there is nothing to compare. Of all else
    only what differs from the layers below is written.
    """
    info = details.info
    label = f"snapshot {info.name!r}"
    is_unpacked = DIFF_ID_LABEL in info.labels or IMAGE_LABEL in info.labels
    if is_unpacked:
        step = Step(None, "snapfs unpack")
    elif info.kind is Kind.COMMITTED:
        step = Step(info.created_ns, f"snapfs commit {info.name}")
    else:
        step = Step(None, f"snapfs export {info.name}")
    hides_all = info.kind is Kind.COMMITTED and is_root_opaque(details)
    if is_unpacked or hides_all:
        return DirectoryLayer(label, step, details.content, prefix, hides_all)
    below = details.lowerdirs
    owners = StoredOwners.of_snapshot(details)
    return DiffLayer(label, step, below, (details.content, *below), prefix, owners)
