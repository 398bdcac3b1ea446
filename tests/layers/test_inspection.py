"""What the layer debugger says, against the conformance table and real mounts.

``test_conformance.py`` proves on real overlay mounts that each view of the table is
what the kernel shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from layers.case import Case, tree_of
from layers.table import CASES
from layers.test_conformance import written
from layers.unpacked import ImageStore, image_store

from snapfs.inspect.contents import DirectoryContents
from snapfs.inspect.directory_index import directory_index
from snapfs.inspect.inspection import Inspection, Layer
from snapfs.overlay_format import XattrPrefix
from support.inspected import inspected, shown
from support.observer import Observer
from support.tree_metadata import compare

VIEWS = [pytest.param(c, id=c.id) for c in CASES if c.view is not None]


@pytest.mark.parametrize("case", VIEWS)
def test_the_indexes_alone_give_the_view_that_a_mount_shows(
    tmp_path: Path, layout: Path, case: Case
) -> None:
    assert case.view is not None

    with inspected(written(case, layout), tmp_path / "cache") as inspection:
        found = shown(inspection)

    assert compare(found, tree_of(case.view)) == []


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageStore]:
    """A store with the marks that root's stores have."""
    root = tmp_path_factory.mktemp("store") / "root"
    with image_store(root, XattrPrefix.TRUSTED) as made:
        yield made


@pytest.mark.root
@pytest.mark.parametrize("case", VIEWS)
def test_the_directories_of_a_snapshot_give_the_view_that_a_mount_shows(
    images: ImageStore, observer: Observer, layout: Path, case: Case
) -> None:
    name = images.unpack(written(case, layout)).name
    details = images.store.details(name)
    layers = [
        Layer(
            *(number, "", "", "", 0, path),
            directory_index(path, images.prefix),
            DirectoryContents(path),
        )
        for number, path in enumerate(
            reversed((details.content, *details.lowerdirs)), 1
        )
    ]

    found = shown(Inspection("snapshot", layers))

    assert compare(found, images.view(name, observer)) == []
