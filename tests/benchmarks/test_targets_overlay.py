from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs.benchmarks.protocols import TreeTarget, Workspace
from snapfs.benchmarks.scenarios.layers import SHARED, file_names, make_layers
from snapfs.benchmarks.targets.overlay_tree import (
    KernelOverlayfs,
    KernelOverlayfsLayers,
    OverlayTree,
    SnapfsOverlayfs,
)
from support.started_targets import started

pytestmark = pytest.mark.root


@pytest.fixture(params=[KernelOverlayfs, KernelOverlayfsLayers, SnapfsOverlayfs])
def target(
    request: pytest.FixtureRequest, workspace: Workspace
) -> Iterator[OverlayTree]:
    with started(request.param(), workspace) as made:
        yield made


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    for name in ("fs", "run"):
        (tmp_path / name).mkdir()
    return Workspace(tmp_path / "fs", tmp_path / "run", "as found")


@pytest.mark.parametrize("depth", [1, 2, 500])
def test_every_layer_shows_in_the_tree(
    target: OverlayTree, tmp_path: Path, depth: int
) -> None:
    layers = make_layers(tmp_path / "lower", depth, files=depth)

    root = target.present(layers, "tree")

    assert isinstance(target, TreeTarget)
    assert sorted(os.listdir(root / SHARED)) == file_names(depth)


def test_the_first_layer_lies_on_top(target: OverlayTree, tmp_path: Path) -> None:
    layers = make_layers(tmp_path / "lower", 2, files=0)
    for layer, text in zip(layers, ("top", "bottom"), strict=True):
        (layer / "both").write_text(text)

    root = target.present(layers, "tree")

    assert (root / "both").read_text() == "top"


def test_what_is_written_stays_out_of_the_layers_and_goes_with_the_tree(
    target: OverlayTree, tmp_path: Path
) -> None:
    layers = make_layers(tmp_path / "lower", 2, files=2)
    root = target.present(layers, "tree")
    (root / SHARED / "file000000").write_text("changed")

    target.dismiss("tree")

    assert (layers[0] / SHARED / "file000000").read_text() == "file000000"
    assert not root.exists()


def test_mounting_leaves_the_working_directory_alone(
    target: OverlayTree, tmp_path: Path
) -> None:
    before = os.getcwd()

    target.present(make_layers(tmp_path / "lower", 3, files=0), "tree")

    assert os.getcwd() == before
