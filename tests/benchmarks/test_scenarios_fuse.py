"""Scenarios of whole trees and files, tiny, on a plain directory and on overlayfs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from snapfs.benchmarks.protocols import (
    CacheState,
    Cell,
    InvalidResultError,
    Profile,
    Scenario,
    TreeTarget,
    Workspace,
)
from snapfs.benchmarks.scenarios.catalog import SCENARIOS
from snapfs.benchmarks.scenarios.copy_up_latency import CopyUpLatency
from snapfs.benchmarks.scenarios.file_access_throughput import FileAccessThroughput
from snapfs.benchmarks.scenarios.file_call_latency import FileCallLatency
from snapfs.benchmarks.scenarios.tree_change_time import TreeChangeTime
from snapfs.benchmarks.scenarios.tree_walk_time import TreeWalkTime
from snapfs.benchmarks.scenarios.workload_time import WorkloadTime
from snapfs.benchmarks.targets.overlay_tree import KernelOverlayfs
from snapfs.benchmarks.targets.plain_directory import PlainDirectory
from snapfs.benchmarks.targets.snapfs_service import SnapfsService
from support.benchmarking import run_trial
from support.started_targets import new_workspace, started

NEW: list[Scenario] = [
    FileCallLatency(),
    TreeWalkTime(),
    TreeChangeTime(),
    CopyUpLatency(),
    FileAccessThroughput(),
    WorkloadTime(),
]

# What makes a cell of each tiny; where operations follow from it, those too.
SMALL: dict[str, dict[str, int | str]] = {
    "file_call_latency": {"names": 6, "depth": 2},
    "tree_walk_time": {"files": 6, "depth": 2},
    "tree_change_time": {"files": 6},
    "copy_up_latency": {"size_bytes": 8192},
    "file_access_throughput": {"size_bytes": 2 << 20},
    "workload_time": {"files": 3},
}


def small_cells(scenario: Scenario) -> list[Cell]:
    small = SMALL[scenario.name]
    cells = {}
    for cell in scenario.cells(Profile.STANDARD):
        parameters = {**cell.parameters, **small}
        operations = int(small.get("names", small.get("files", 2)))
        if scenario.name == "workload_time":
            operations = 1
        tiny = dataclasses.replace(cell, parameters=parameters, operations=operations)
        cells[(tiny.label, tiny.cache)] = tiny
    return list(cells.values())


PAIRS = [(scenario, cell) for scenario in NEW for cell in small_cells(scenario)]


def cases(pairs: list[tuple[Scenario, Cell]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("scenario", "cell"),
        [
            pytest.param(asked, cell, id=f"{asked.name}-{cell.label}-{cell.cache}")
            for asked, cell in pairs
        ],
    )


@pytest.fixture
def make_workspace(tmp_path: Path) -> Callable[[str], Workspace]:
    return lambda name: new_workspace(tmp_path / name)


@pytest.fixture(params=[PlainDirectory, KernelOverlayfs])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TreeTarget]:
    with started(request.param(), new_workspace(tmp_path / "target")) as made:
        yield made


@cases(PAIRS)
def test_every_run_does_what_it_says(
    scenario: Scenario,
    cell: Cell,
    target: TreeTarget,
    make_workspace: Callable[[str], Workspace],
) -> None:
    if reason := scenario.refuses(target):
        pytest.skip(reason)
    trial = scenario.open(target, cell, make_workspace("trial"), seed=1)

    try:
        outcomes = [run_trial(trial), run_trial(trial)]
    finally:
        trial.close()

    assert [outcome.operations for outcome in outcomes] == [cell.operations] * 2


@pytest.mark.parametrize("scenario", NEW, ids=lambda scenario: scenario.name)
def test_it_is_listed_and_its_cells_are_distinct(scenario: Scenario) -> None:
    assert SCENARIOS[scenario.name].question == scenario.question
    assert scenario.refuses(SnapfsService())
    for profile in Profile:
        cells = [(cell.label, cell.cache) for cell in scenario.cells(profile)]
        assert cells
        assert len(set(cells)) == len(cells)


class Hiding(PlainDirectory):
    """Shows nothing of what it is given."""

    def present(self, lowerdirs: object, name: str) -> Path:
        empty = Path(f"{self._trees}-{name}")
        empty.mkdir()
        (empty / "shared").mkdir()
        return super().present([empty], name)


def needs_a_layer(cell: Cell) -> bool:
    """Whether a cell looks for something that a layer brings.

    Others bring it from an archive, look for what is absent, or remove what is there.
    """
    said = {str(value) for value in cell.parameters.values()}
    others = {"untar", "pip-install", "remove-lower", "stat-absent"}
    return said.isdisjoint(others) and not any(word.endswith("-new") for word in said)


@cases([pair for pair in PAIRS if needs_a_layer(pair[1])])
def test_a_tree_that_hides_files_is_rejected(
    scenario: Scenario, cell: Cell, make_workspace: Callable[[str], Workspace]
) -> None:
    hiding = Hiding()
    hiding.start(make_workspace("target"))
    trial = scenario.open(hiding, cell, make_workspace("trial"), seed=1)
    with pytest.raises((InvalidResultError, FileNotFoundError)):
        run_trial(trial)
    trial.close()


def test_a_tree_that_writes_through_to_its_layer_is_rejected(
    make_workspace: Callable[[str], Workspace],
) -> None:
    class Through(PlainDirectory):
        def present(self, lowerdirs: object, name: str) -> Path:
            assert isinstance(lowerdirs, list)
            shown: Path = lowerdirs[0]
            return shown

        def dismiss(self, name: str) -> None:
            """Nothing was made."""

    through = Through()
    through.start(make_workspace("target"))
    cell = Cell(
        {"size_bytes": 8192}, cache=CacheState.FRESH_UPPER, operations=2, runs=1
    )
    trial = CopyUpLatency().open(through, cell, make_workspace("trial"), seed=1)

    with pytest.raises(InvalidResultError, match="holds something else"):
        run_trial(trial)
    trial.close()
