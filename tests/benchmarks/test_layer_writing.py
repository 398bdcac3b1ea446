"""Layers of changes: each program writes exactly them, and who does not is found."""

from __future__ import annotations

import contextlib
import gzip
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from snapfs import mountinfo
from snapfs.benchmarks.images import BenchImage
from snapfs.benchmarks.protocols import Cell, InvalidResultError, LayerTarget
from snapfs.benchmarks.scenarios.layer_writing import LayerWriting
from snapfs.benchmarks.targets import TARGETS
from snapfs.benchmarks.targets.layer_diffs import SnapfsLayers
from snapfs.benchmarks.workspaces import Workspaces
from support.benchmarking import run_trial
from support.image_benchmarks import opened_workspaces

CELL = Cell({"files": 120, "size_mib": 1, "changes": 30})
WRITERS = [name for name, make in TARGETS.items() if isinstance(make(), LayerTarget)]


@pytest.fixture
def workspaces(tmp_path: Path) -> Iterator[Workspaces]:
    with opened_workspaces(tmp_path) as workspaces:
        yield workspaces


@pytest.mark.root
@pytest.mark.parametrize("name", WRITERS)
def test_a_layer_has_exactly_the_changes_each_time(
    name: str, workspaces: Workspaces, tmp_path: Path
) -> None:
    target = TARGETS[name]()
    if reason := target.unavailable():
        pytest.skip(reason)
    target.start(workspaces.take())
    trial = LayerWriting().open(target, CELL, workspaces.take(), seed=1)
    for _ in range(2):
        run_trial(trial)
    trial.close()
    target.stop()

    assert not mountinfo.mounts_below(str(tmp_path))


@pytest.mark.root
@pytest.mark.parametrize(
    "broken", [pytest.param(b"", id="empty"), pytest.param(b"extra", id="more")]
)
def test_a_layer_that_lacks_changes_is_found(
    broken: bytes, workspaces: Workspaces
) -> None:
    class Careless(SnapfsLayers):
        @contextlib.contextmanager
        def open_changes(self, image: BenchImage) -> Iterator[Path]:
            with super().open_changes(image) as root:
                yield root
                if broken:
                    (root / "unasked").write_bytes(broken)

        def write_layer(self, image: BenchImage, layer: Path) -> Mapping[str, int]:
            counts = super().write_layer(image, layer)
            if not broken:
                layer.write_bytes(gzip.compress(bytes(1024)))
            return counts

    target = Careless()
    target.start(workspaces.take())
    trial = LayerWriting().open(target, CELL, workspaces.take(), seed=1)
    trial.set_up()

    with pytest.raises(InvalidResultError, match="of 30 changes"):
        trial.validate(trial.run_once())
    trial.tear_down()
    trial.close()


def test_who_writes_no_layers_is_not_asked() -> None:
    assert LayerWriting().refuses(TARGETS["tar-xzf"]()) == "it writes no layers"
    assert {"snapfs-unpack", "containerd-2-snapfs", "umoci-unpack"} <= set(WRITERS)
