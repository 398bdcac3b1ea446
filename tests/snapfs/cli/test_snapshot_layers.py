"""Which layer a snapshot is, by what the store knows of it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from snapfs.cli.snapshot_layers import snapshot_layer
from snapfs.export.config import Step
from snapfs.export.diff_layer import DiffLayer
from snapfs.export.layer_source import DirectoryLayer
from snapfs.model import Durability, Info, Kind, Owner, SnapshotDetails
from snapfs.overlay_format import XattrPrefix
from snapfs.unpack.sharing import DIFF_ID_LABEL
from snapfs.unpack.unpacking import IMAGE_LABEL

PREFIX = XattrPrefix.TRUSTED


def details(
    *lowerdirs: str,
    parent: str = "below",
    kind: Kind = Kind.COMMITTED,
    labels: Mapping[str, str] | None = None,
) -> SnapshotDetails:
    info = Info("app", parent, kind, created_ns=5, labels=labels or {})
    return SnapshotDetails(
        info, Owner.LOCAL, "/s/9", "/s/9/fs", lowerdirs, "kernel", Durability.NONE
    )


@pytest.mark.parametrize("label", [DIFF_ID_LABEL, IMAGE_LABEL])
def test_what_was_unpacked_is_written_as_it_lies(label: str) -> None:
    layer = snapshot_layer(details("/s/1/fs", labels={label: "x"}), PREFIX)

    step = Step(None, "snapfs unpack")
    assert layer == DirectoryLayer("snapshot 'app'", step, "/s/9/fs", PREFIX)


def test_what_was_committed_is_compared_with_what_lies_below() -> None:
    layer = snapshot_layer(details("/s/2/fs", "/s/1/fs"), PREFIX)

    assert layer == DiffLayer(
        "snapshot 'app'",
        Step(5, "snapfs commit app"),
        ("/s/2/fs", "/s/1/fs"),
        ("/s/9/fs", "/s/2/fs", "/s/1/fs"),
        PREFIX,
    )


def test_an_active_snapshot_has_no_time_of_its_own() -> None:
    layer = snapshot_layer(details("/s/1/fs", kind=Kind.ACTIVE), PREFIX)

    assert isinstance(layer, DiffLayer)
    assert layer.step == Step(None, "snapfs export app")


@pytest.mark.parametrize("labels", [{}, {DIFF_ID_LABEL: "x"}])
def test_what_hides_all_below_says_so(labels: dict[str, str]) -> None:
    layer = snapshot_layer(details(labels=labels), PREFIX)

    assert isinstance(layer, DirectoryLayer)
    assert layer.root_opaque


def test_the_lowest_layer_hides_nothing() -> None:
    layer = snapshot_layer(details(parent="", labels={DIFF_ID_LABEL: "x"}), PREFIX)

    assert isinstance(layer, DirectoryLayer)
    assert not layer.root_opaque
    assert isinstance(snapshot_layer(details(parent=""), PREFIX), DiffLayer)
