"""Layers of whole trees: each program writes all of it, and who does not is found."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from snapfs import mountinfo
from snapfs.benchmarks.protocols import (
    NO_COUNTS,
    Cell,
    InvalidResultError,
    PackTarget,
)
from snapfs.benchmarks.scenarios.layer_packing import LayerPacking
from snapfs.benchmarks.targets import TARGETS
from snapfs.benchmarks.targets.layer_packs import TarPacks
from snapfs.benchmarks.workspaces import Workspaces
from support.benchmarking import run_trial
from support.image_benchmarks import opened_workspaces

PACKERS = [name for name, make in TARGETS.items() if isinstance(make(), PackTarget)]


def cell(compression: str) -> Cell:
    return Cell({"files": 120, "size_mib": 1, "compression": compression})


@pytest.fixture
def workspaces(tmp_path: Path) -> Iterator[Workspaces]:
    with opened_workspaces(tmp_path) as workspaces:
        yield workspaces


@pytest.mark.root
@pytest.mark.parametrize("name", PACKERS)
def test_a_layer_has_the_whole_tree_each_time(
    name: str, workspaces: Workspaces, tmp_path: Path
) -> None:
    target = TARGETS[name]()
    if reason := target.unavailable():
        pytest.skip(reason)
    target.start(workspaces.take())
    for compression in ("level 6", "fastest"):
        trial = LayerPacking().open(target, cell(compression), workspaces.take(), 1)
        run_trial(trial)
        trial.close()
    target.stop()

    assert not mountinfo.mounts_below(str(tmp_path))


@pytest.mark.root
def test_a_layer_that_lacks_files_is_found(workspaces: Workspaces) -> None:
    class Careless(TarPacks):
        def pack(self, layer: Path, *, is_fast: bool) -> Mapping[str, int]:
            layer.write_bytes(gzip.compress(bytes(1024)))
            return NO_COUNTS

    target = Careless()
    target.start(workspaces.take())
    trial = LayerPacking().open(target, cell("level 6"), workspaces.take(), 1)

    with pytest.raises(InvalidResultError, match="the layer has 0 of 120 files"):
        trial.validate(trial.run_once())
    trial.tear_down()
    trial.close()


def test_who_packs_no_trees_is_not_asked() -> None:
    refused = LayerPacking().refuses(TARGETS["podman-pull"]())

    assert refused == "it writes no layers of trees"
    assert {"tar-xzf", "tar-pigz", "snapfs-unpack"} < set(PACKERS)
