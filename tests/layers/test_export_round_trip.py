"""The conformance table, exported and unpacked again: the same views.

Once with each layer as it lies on disk, and once with each layer as what it changes of
those below, by the diff engine.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest
from layers.case import Case
from layers.table import CASES
from layers.test_conformance import written
from layers.unpacked import ImageStore, image_store

from snapfs.errors import FailedPreconditionError
from snapfs.export.chain import chain_of, is_root_opaque
from snapfs.export.config import Step
from snapfs.export.diff_layer import DiffLayer
from snapfs.export.directory import DirectoryPlace
from snapfs.export.image import Exported, export_image
from snapfs.export.layer_source import DirectoryLayer, LayerSource
from snapfs.export.settings import ExportSettings
from snapfs.layer.writing import LayerForm
from snapfs.model import SnapshotDetails
from snapfs.overlay_format import XattrPrefix
from snapfs.stopping import Stop
from support.observer import Observer
from support.tree_metadata import compare

pytestmark = pytest.mark.root

Way: TypeAlias = Callable[[SnapshotDetails, XattrPrefix], LayerSource]

SETTINGS = ExportSettings(LayerForm(keep_ns=True))
STEP = Step(None, "test")


def as_it_lies(details: SnapshotDetails, prefix: XattrPrefix) -> LayerSource:
    opaque = is_root_opaque(details)
    return DirectoryLayer("layer", STEP, details.content, prefix, opaque)


def as_changes(details: SnapshotDetails, prefix: XattrPrefix) -> LayerSource:
    if is_root_opaque(details):  # nothing below is in the chain to compare with
        return as_it_lies(details, prefix)
    below = details.lowerdirs
    return DiffLayer("layer", STEP, below, (details.content, *below), prefix)


def export(images: ImageStore, name: str, place: Path, way: Way) -> Exported:
    chain = chain_of(images.store, name)
    sources = [way(details, images.prefix) for details in chain]
    with DirectoryPlace(str(place)) as directory:
        exported = export_image(sources, None, directory, SETTINGS, Stop())
        Path(directory.path).rename(place)  # nothing needs to be on disk
        directory.path = ""
    return exported


@pytest.fixture(
    scope="module",
    params=[
        XattrPrefix.TRUSTED,
        pytest.param(XattrPrefix.USER, marks=pytest.mark.full),
    ],
)
def images(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ImageStore]:
    """A store that all cases share."""
    root = tmp_path_factory.mktemp("store") / "root"
    with image_store(root, request.param) as made:
        yield made
        assert made.store.check() == []


# An implied directory of such a name has no entry of its own, which would delete.
UNWRITABLE = "directory-named-like-a-whiteout"


@pytest.mark.parametrize(
    "case",
    [
        # Each takes four unpacks: all of them only in the long run.
        pytest.param(case, id=case.id, marks=[pytest.mark.full] if number % 5 else [])
        for number, case in enumerate(CASES)
        if case.view is not None and case.id != UNWRITABLE
    ],
)
def test_an_exported_case_shows_the_same(
    images: ImageStore, observer: Observer, layout: Path, tmp_path: Path, case: Case
) -> None:
    unpacked = images.unpack(written(case, layout))
    want = images.view(unpacked.name, observer)

    exported = export(images, unpacked.name, tmp_path / "exported", as_it_lies)
    again = images.unpack(tmp_path / "exported")
    second = export(images, again.name, tmp_path / "second", as_it_lies)
    export(images, unpacked.name, tmp_path / "changes", as_changes)
    changes = images.unpack(tmp_path / "changes")

    assert again.name == str(exported.layers[-1].chain_id)
    assert compare(images.view(again.name, observer), want) == []
    assert second.manifest == exported.manifest
    have = images.view(changes.name, observer)
    for tree in (have, want):  # of a root the time does not count
        tree[b"."] = dataclasses.replace(tree[b"."], mtime_ns=0)
    assert compare(have, want) == []


def test_a_name_that_would_delete_another_is_refused(
    images: ImageStore, layout: Path, tmp_path: Path
) -> None:
    (case,) = (case for case in CASES if case.id == UNWRITABLE)
    unpacked = images.unpack(written(case, layout))

    with pytest.raises(
        FailedPreconditionError, match=r"'\.wh\.d' cannot be in a layer"
    ):
        export(images, unpacked.name, tmp_path / "exported", as_it_lies)

    assert list(tmp_path.iterdir()) == [layout]
