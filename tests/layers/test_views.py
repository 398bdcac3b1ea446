"""What the conformance table cannot say: views that depend on prefix or policy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from layers.case import BASE, changed, tree_of
from layers.unpacked import ImageStore

from snapfs.layer.limits import Policy
from snapfs.overlay_format import XattrPrefix
from support.applied_layers import Item, directory, entry, tar_of
from support.layouts import LayoutWriter, Packing
from support.observer import Observer
from support.tree_metadata import compare

pytestmark = pytest.mark.root

# What steers overlayfs, if it were stored as it is: splices in other directories,
# hides what is below, and takes the content of a file from elsewhere.
MARKS = {"redirect": b"/d", "opaque": b"y", "metacopy": b"", "whiteout": b""}


def written(
    layout: Path, *layers: Sequence[Item], packing: Packing = Packing.GZIP
) -> Path:
    writer = LayoutWriter(layout)
    for layer in layers:
        writer.add_layer([tar_of(layer)], packing)
    return writer.finish()


def test_marks_of_overlayfs_in_a_layer_are_data(
    images: ImageStore, observer: Observer, layout: Path
) -> None:
    marks = {
        prefix.attribute(name): value
        for prefix in XattrPrefix
        for name, value in MARKS.items()
        if value  # PAX cannot say that a value is empty
    }
    shown = {k: v for k, v in marks.items() if k.startswith(images.prefix)}
    layer = [directory("d", xattrs=marks), entry("f", b"new", xattrs=marks)]

    unpacked = images.unpack(written(layout, BASE, layer))

    expected = [directory("d", xattrs=shown), entry("f", b"new", xattrs=shown)]
    assert (
        compare(images.view(unpacked.name, observer), tree_of(changed(BASE, expected)))
        == []
    )
    applied = unpacked.made[-1].applied
    assert applied is not None
    assert any("left out" in warning for warning in applied.warnings)


def test_paths_with_two_dots_stay_within_the_root_if_they_may(
    images: ImageStore, observer: Observer, layout: Path
) -> None:
    layer = [entry("../../x"), entry("d/../../d/new"), entry("d/sub/../.wh.old")]

    unpacked = images.unpack(written(layout, BASE, layer), Policy(clamp=True))

    expected = changed(BASE, [entry("x"), entry("d/new")], ["d/old"])
    assert compare(images.view(unpacked.name, observer), tree_of(expected)) == []


def test_a_view_of_one_layer_shows_no_whiteouts(
    images: ImageStore, observer: Observer, layout: Path
) -> None:
    """Such a view is a bind mount of the layer: nobody reads its whiteouts."""
    layer = [
        directory("./"),
        entry(".wh.a"),
        directory("d"),
        entry("d/.wh.b"),
        entry("d/c"),
        directory("o"),
        entry("o/.wh..wh..opq"),
        directory("r"),
        entry(".wh.r"),
    ]

    unpacked = images.unpack(written(layout, layer))
    images.store.view("seen", unpacked.name)
    try:
        seen = observer.tree(images.store.mounts("seen"))
    finally:
        images.store.remove("seen")

    expected = [directory("./"), directory("d"), entry("d/c"), directory("o")]
    assert compare(seen, tree_of([*expected, directory("r")])) == []


def test_a_layer_that_hides_serves_only_one_place_in_chains(
    images: ImageStore, observer: Observer, layout: Path
) -> None:
    """The lowest layer is written without whiteouts; its content must not be shared."""
    hiding = [directory("./"), directory("d"), entry("d/.wh.old"), entry("lowest")]
    plain = [directory("./"), entry("serves anywhere")]
    below = images.unpack(written(layout / "1", hiding, plain))

    above = images.unpack(written(layout / "2", BASE, hiding, plain))

    assert [bool(layer.shares) for layer in above.made[-2:]] == [False, True]
    expected = changed(
        BASE,
        [directory("./"), directory("d"), entry("lowest"), entry("serves anywhere")],
        ["d/old"],
    )
    assert compare(images.view(above.name, observer), tree_of(expected)) == []
    expected = (directory("./"), directory("d"), entry("lowest"), *plain[1:])
    assert compare(images.view(below.name, observer), tree_of(expected)) == []


@pytest.mark.parametrize("packing", list(Packing))
def test_the_view_does_not_depend_on_the_packing(
    images: ImageStore, observer: Observer, layout: Path, packing: Packing
) -> None:
    layer = [directory(f"packed{packing}"), entry(f"packed{packing}/f", b"f" * 70_000)]

    unpacked = images.unpack(written(layout, BASE, layer, packing=packing))

    expected = tree_of(changed(BASE, layer))
    assert compare(images.view(unpacked.name, observer), expected) == []
