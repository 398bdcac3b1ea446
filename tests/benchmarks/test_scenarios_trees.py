from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from snapfs import mountinfo
from snapfs.benchmarks.protocols import (
    CacheState,
    Cell,
    InvalidResultError,
    Profile,
    Scenario,
    TreeTarget,
    Trial,
    Workspace,
)
from snapfs.benchmarks.scenarios.command_time import CommandTime
from snapfs.benchmarks.scenarios.concurrent_change_time import ConcurrentChangeTime
from snapfs.benchmarks.scenarios.lookup_latency import LookupLatency
from snapfs.benchmarks.scenarios.mount_latency import MountLatency
from snapfs.benchmarks.scenarios.sequential_throughput import (
    BLOCK_BYTES,
    SequentialThroughput,
)
from snapfs.benchmarks.targets.overlay_tree import KernelOverlayfs, Place
from snapfs.benchmarks.targets.plain_directory import PlainDirectory
from snapfs.benchmarks.targets.snapfs_service import SnapfsService
from support.benchmarking import run_trial
from support.started_targets import new_workspace, started

TREE_SCENARIOS = [
    MountLatency(),
    LookupLatency(),
    SequentialThroughput(),
    CommandTime(),
]


@pytest.fixture
def make_workspace(tmp_path: Path) -> Callable[[str], Workspace]:
    return lambda name: new_workspace(tmp_path / name)


@pytest.fixture(params=[PlainDirectory, KernelOverlayfs])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TreeTarget]:
    with started(request.param(), new_workspace(tmp_path / "target")) as made:
        yield made


@pytest.mark.parametrize("state", [CacheState.WARM, CacheState.FRESH_UPPER])
@pytest.mark.parametrize("lookup", ["stat", "absent", "list"])
def test_every_lookup_is_made_and_counted(
    target: TreeTarget,
    make_workspace: Callable[[str], Workspace],
    state: CacheState,
    lookup: str,
) -> None:
    (cell,) = [
        dataclasses.replace(cell, parameters={**cell.parameters, "depth": 2})
        for cell in LookupLatency().cells(Profile.STANDARD)
        if cell.parameters["lookup"] == lookup and cell.cache is state
        if cell.parameters["depth"] == 1
    ]
    trial = LookupLatency().open(target, cell, make_workspace("trial"), seed=1)

    try:
        outcomes = [run_trial(trial) for _ in range(2)]
    finally:
        trial.close()

    assert [outcome.operations for outcome in outcomes] == [cell.operations] * 2


def test_a_tree_that_hides_a_name_is_rejected(
    make_workspace: Callable[[str], Workspace],
) -> None:
    class Hiding(PlainDirectory):
        def present(self, lowerdirs: object, name: str) -> Path:
            assert isinstance(lowerdirs, list)
            return super().present(lowerdirs[1:], name)  # as if a layer were missing

    hiding = Hiding()
    hiding.start(make_workspace("target"))
    cell = Cell({"lookup": "list", "depth": 2, "names": 1000}, operations=1000)
    trial = LookupLatency().open(hiding, cell, make_workspace("trial"), seed=1)

    with pytest.raises(InvalidResultError, match="500 of 1000"):
        run_trial(trial)
    trial.close()


@pytest.mark.root
class TestMounts:
    @pytest.mark.parametrize("step", ["mount", "unmount"])
    def test_each_run_mounts_afresh_and_leaves_nothing_mounted(
        self, step: str, make_workspace: Callable[[str], Workspace]
    ) -> None:
        workspace = make_workspace("target")
        trial = self.open(KernelOverlayfs(), step, workspace, make_workspace("trial"))

        outcomes = [run_trial(trial) for _ in range(2)]

        assert [outcome.operations for outcome in outcomes] == [1, 1]
        assert not mountinfo.mounts_below(str(workspace.directory))

    def test_a_mount_that_returns_early_is_rejected(
        self, make_workspace: Callable[[str], Workspace]
    ) -> None:
        class Early(KernelOverlayfs):
            def mount(self, place: Place) -> None:
                """Do nothing, fast."""

        trial = self.open(
            Early(), "mount", make_workspace("target"), make_workspace("trial")
        )

        with pytest.raises((InvalidResultError, FileNotFoundError)):
            run_trial(trial)

    def test_an_unmount_that_returns_early_is_rejected(
        self, make_workspace: Callable[[str], Workspace]
    ) -> None:
        class Early(KernelOverlayfs):
            is_early = True

            def unmount(self, place: Place) -> None:
                if not self.is_early:
                    super().unmount(place)

        target = Early()
        trial = self.open(
            target, "unmount", make_workspace("target"), make_workspace("trial")
        )
        trial.set_up()
        outcome = trial.run_once()

        with pytest.raises(InvalidResultError, match="still mounted"):
            trial.validate(outcome)
        target.is_early = False
        trial.tear_down()

    def open(
        self,
        target: KernelOverlayfs,
        step: str,
        of_target: Workspace,
        of_trial: Workspace,
    ) -> Trial:
        if reason := target.unavailable():
            pytest.skip(reason)
        target.start(of_target)
        cell = Cell({"step": step, "depth": 3})
        return MountLatency().open(target, cell, of_trial, seed=1)


@pytest.mark.parametrize("scenario", TREE_SCENARIOS)
def test_a_snapshotter_is_refused_with_a_reason(scenario: Scenario) -> None:
    assert scenario.refuses(SnapfsService())


@pytest.mark.parametrize("scenario", TREE_SCENARIOS)
@pytest.mark.parametrize("profile", Profile)
def test_cells_are_distinct_in_every_profile(
    scenario: Scenario, profile: Profile
) -> None:
    cells = [(cell.label, cell.cache) for cell in scenario.cells(profile)]

    assert cells
    assert len(set(cells)) == len(cells)


@pytest.mark.parametrize("command", ["find", "grep"])
def test_a_command_runs_over_the_whole_tree(
    command: str, target: TreeTarget, make_workspace: Callable[[str], Workspace]
) -> None:
    cell = Cell({"command": command, "depth": 2, "files": 10})
    trial = CommandTime().trial(target, cell, make_workspace("trial"), seed=1)

    try:
        outcome = run_trial(trial)
    finally:
        trial.close()

    assert outcome.operations == 1
    assert trial.words[0].startswith("/")


def test_a_command_that_misses_files_is_rejected(
    target: TreeTarget, make_workspace: Callable[[str], Workspace]
) -> None:
    cell = Cell({"command": "find", "depth": 2, "files": 10})
    trial = CommandTime().trial(target, cell, make_workspace("trial"), seed=1)
    outcome = trial.run_once()
    (Path(trial.words[-1]) / "shared" / "file000003").unlink()

    with pytest.raises(InvalidResultError, match="1 names are missing"):
        trial.validate(outcome)
    trial.close()


def test_a_command_that_fails_is_rejected(
    target: TreeTarget, make_workspace: Callable[[str], Workspace]
) -> None:
    cell = Cell({"command": "find", "depth": 1, "files": 1})
    trial = CommandTime().trial(target, cell, make_workspace("trial"), seed=1)
    trial.words = (*trial.words[:-1], "/no/such/tree")

    with pytest.raises(InvalidResultError, match="ended with status 1"):
        trial.run_once()
    trial.close()


@pytest.mark.parametrize("direction", ["read", "write"])
class TestThroughput:
    BLOCKS = 3

    def cell(self, direction: str) -> Cell:
        size = self.BLOCKS * BLOCK_BYTES
        parameters: dict[str, int | str] = {"direction": direction, "size_bytes": size}
        return Cell(parameters, operations=self.BLOCKS)

    def test_every_byte_is_moved_and_each_run_begins_anew(
        self,
        direction: str,
        target: TreeTarget,
        make_workspace: Callable[[str], Workspace],
    ) -> None:
        trial = SequentialThroughput().trial(
            target, self.cell(direction), make_workspace("trial"), seed=1
        )

        trial.begin_block(0)
        outcomes = [run_trial(trial), run_trial(trial)]
        trial.close()

        assert [outcome.operations for outcome in outcomes] == [3, 3]
        assert [outcome.bytes for outcome in outcomes] == [3 * BLOCK_BYTES] * 2

    def test_a_file_that_holds_something_else_is_rejected(
        self,
        direction: str,
        target: TreeTarget,
        make_workspace: Callable[[str], Workspace],
    ) -> None:
        trial = SequentialThroughput().trial(
            target, self.cell(direction), make_workspace("trial"), seed=1
        )
        trial.set_up()
        outcome = trial.run_once()
        with trial.file.open("r+b") as file:
            file.seek(BLOCK_BYTES + 5)
            file.write(b"changed")

        with pytest.raises(InvalidResultError, match="block 1 is not"):
            # What is read is compared at the next block of runs.
            trial.validate(outcome) if direction == "write" else trial.begin_block(1)
        trial.tear_down()
        trial.close()


@pytest.mark.parametrize("work", ["create", "copy-up", "stat"])
def test_concurrent_clients_do_all_their_work_and_end_with_the_trial(
    target: TreeTarget, make_workspace: Callable[[str], Workspace], work: str
) -> None:
    cell = Cell(
        {"work": work, "clients": 3}, cache=CacheState.FRESH_UPPER, operations=30
    )
    trial = ConcurrentChangeTime().open(target, cell, make_workspace("trial"), seed=1)
    clients = trial.processes()

    outcomes = [run_trial(trial) for _ in range(2)]
    trial.close()

    assert [outcome.operations for outcome in outcomes] == [30, 30]
    assert len(clients) == 3
    assert not any(psutil.pid_exists(client) for client in clients)


def test_a_client_that_leaves_something_out_is_found(
    make_workspace: Callable[[str], Workspace],
) -> None:
    class Losing(PlainDirectory):
        def present(self, lowerdirs: Sequence[Path], name: str) -> Path:
            root = super().present(lowerdirs, name)
            (root / "c1/f00003").unlink()
            return root

    target = Losing()
    target.start(make_workspace("target"))
    cell = Cell({"work": "create", "clients": 2}, operations=20)
    trial = ConcurrentChangeTime().open(target, cell, make_workspace("trial"), seed=1)

    with pytest.raises(InvalidResultError, match="9 of 10 files"):
        run_trial(trial)
    trial.close()
