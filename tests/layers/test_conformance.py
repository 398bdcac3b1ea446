"""The conformance table, on real overlay mounts of what was really unpacked."""

from __future__ import annotations

from pathlib import Path

import pytest
from layers.case import Case, tree_of
from layers.table import CASES
from layers.unpacked import ImageStore

from snapfs.errors import UnsafeLayerError
from support.layouts import LayoutWriter
from support.observer import Observer
from support.tree_metadata import compare

pytestmark = pytest.mark.root


def written(case: Case, layout: Path) -> Path:
    writer = LayoutWriter(layout)
    for tar in case.tars():
        writer.add_layer([tar])
    return writer.finish()


@pytest.mark.parametrize(
    "case", [pytest.param(c, id=c.id) for c in CASES if c.view is not None]
)
def test_the_merged_view_is_what_the_rules_say(
    images: ImageStore, observer: Observer, layout: Path, case: Case
) -> None:
    assert case.view is not None
    unpacked = images.unpack(written(case, layout))

    assert compare(images.view(unpacked.name, observer), tree_of(case.view)) == []


@pytest.mark.parametrize(
    "case", [pytest.param(c, id=c.id) for c in CASES if c.view is None]
)
def test_what_breaks_the_rules_is_refused(
    images: ImageStore, layout: Path, case: Case
) -> None:
    before = [info.name for info in images.store.walk()]

    with pytest.raises(UnsafeLayerError, match=case.refused):
        images.unpack(written(case, layout))

    assert [info.name for info in images.store.walk()] == before
    assert images.store.check() == []
