"""The conformance table, squashed without unpacking: one layer with the same view."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from layers.case import Case
from layers.table import CASES
from layers.test_conformance import written
from layers.unpacked import ImageStore, image_store

from snapfs.cli.squashing import SquashedLayer
from snapfs.export.config import Step
from snapfs.export.directory import DirectoryPlace
from snapfs.export.image import export_image
from snapfs.export.settings import ExportSettings
from snapfs.image.layout import open_layout
from snapfs.image.resolve import open_image
from snapfs.inspect.contents import BlobContents
from snapfs.inspect.inspection import Inspection, Layer
from snapfs.layer.index_cache import IndexCache
from snapfs.layer.limits import Limits
from snapfs.layer.writing import LayerForm
from snapfs.overlay_format import XattrPrefix
from snapfs.stopping import Stop
from snapfs.unpack.indexes import layer_index
from support.observer import Observer
from support.tree_metadata import compare

pytestmark = pytest.mark.root

SETTINGS = ExportSettings(LayerForm(keep_ns=True))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageStore]:
    """A store that all cases share."""
    root = tmp_path_factory.mktemp("store") / "root"
    with image_store(root, XattrPrefix.TRUSTED) as made:
        yield made


def squash(layout: Path, place: Path) -> None:
    with contextlib.closing(open_layout("image", str(layout))) as source:
        image = open_image(source)
        cache = IndexCache(str(place.parent))
        layers = [
            Layer(
                number,
                str(layer.descriptor.digest),
                str(layer.diff_id),
                str(layer.chain_id),
                layer.descriptor.size_bytes,
                layer.command,
                layer_index(source, layer, cache, Limits()),
                BlobContents(source, layer),
            )
            for number, layer in enumerate(image.layers, 1)
        ]
        inspection = Inspection("image", layers, image, source)
        squashed = SquashedLayer(inspection, Step(None, "test"))
        with DirectoryPlace(str(place)) as directory:
            export_image(
                [squashed], None, directory, SETTINGS, Stop(), has_base_layers=False
            )
            Path(directory.path).rename(place)  # nothing needs to be on disk
            directory.path = ""


@pytest.mark.parametrize(
    "case",
    [
        # Each takes two unpacks: all of them only in the long run.
        pytest.param(case, id=case.id, marks=[pytest.mark.full] if number % 5 else [])
        for number, case in enumerate(CASES)
        if case.view is not None and case.id != "directory-named-like-a-whiteout"
    ],
)
def test_a_squashed_case_shows_the_same(
    images: ImageStore, observer: Observer, layout: Path, tmp_path: Path, case: Case
) -> None:
    want = images.view(images.unpack(written(case, layout)).name, observer)

    squash(layout, tmp_path / "squashed")

    have = images.view(images.unpack(tmp_path / "squashed").name, observer)
    assert compare(have, want) == []
