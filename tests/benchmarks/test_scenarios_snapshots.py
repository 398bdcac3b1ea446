from __future__ import annotations

import contextlib
import dataclasses
import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from snapfs.benchmarks.benchsuite import BenchSuite
from snapfs.benchmarks.protocols import (
    Cell,
    InvalidResultError,
    Outcome,
    Profile,
    Scenario,
    Workspace,
)
from snapfs.benchmarks.scenarios import load_client
from snapfs.benchmarks.scenarios.call_plans import OPERATIONS, Run, plan
from snapfs.benchmarks.scenarios.collection_pass import CollectionPass
from snapfs.benchmarks.scenarios.container_start_latency import (
    ContainerStartLatency,
    container_cell,
)
from snapfs.benchmarks.scenarios.layer_chain import LAYERS, LayerChain
from snapfs.benchmarks.scenarios.load_client import GoClient, LoadClient
from snapfs.benchmarks.scenarios.population import (
    LISTED_FILTER,
    Population,
    leaves_first,
    populate,
)
from snapfs.benchmarks.scenarios.python_client import PythonClient
from snapfs.benchmarks.scenarios.service_start_up import ServiceStartUp
from snapfs.benchmarks.scenarios.snapshot_call_latency import SnapshotCallLatency
from snapfs.benchmarks.scenarios.snapshot_calls import Answer, Call
from snapfs.benchmarks.targets.containerd_overlayfs import ContainerdOverlayfs
from snapfs.benchmarks.targets.go_programs import LOAD
from snapfs.benchmarks.targets.plain_directory import PlainDirectory
from snapfs.benchmarks.targets.snapfs_service import SnapfsService
from snapfs.benchmarks.targets.snapshot_service import SnapshotService
from snapfs.model import Durability

SCENARIOS = [SnapshotCallLatency(), ServiceStartUp(), CollectionPass()]


@contextlib.contextmanager
def running(make: Callable[[], SnapshotService]) -> Iterator[SnapshotService]:
    target = make()
    if reason := target.unavailable():
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="b-") as directory:
        root = Path(directory)
        (root / "fs").mkdir()
        target.start(Workspace(root / "fs", root, "as found"))
        try:
            yield target
        finally:
            target.stop()


@pytest.fixture(params=[SnapfsService, ContainerdOverlayfs])
def target(request: pytest.FixtureRequest) -> Iterator[SnapshotService]:
    with running(request.param) as started:
        yield started


@pytest.fixture(params=["go", "python"])
def client(
    request: pytest.FixtureRequest, target: SnapshotService
) -> Iterator[LoadClient]:
    if request.param == "go" and (reason := LOAD.unavailable()):
        pytest.skip(reason)
    make: Any = {"go": GoClient, "python": PythonClient}[request.param]
    made: LoadClient = make(target.address)
    try:
        yield made
    finally:
        made.close()


def run_trial(
    scenario: Scenario, target: SnapshotService, cell: Cell, workspace: Workspace
) -> list[Outcome]:
    trial = scenario.open(target, cell, workspace, seed=1)
    outcomes = []
    try:
        for block in range(2):
            trial.begin_block(block)
            trial.set_up()
            try:
                outcomes.append(trial.run_once())
                trial.validate(outcomes[-1])
            finally:
                trial.tear_down()
    finally:
        trial.close()
    return outcomes


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path, tmp_path, "as found")


@pytest.mark.slow
class TestLoadClients:
    def test_every_call_is_timed_and_answered(self, client: LoadClient) -> None:
        calls = [
            Call("noop"),
            Call("prepare", "k", labels={"a": "b"}),
            Call("stat", "k"),
            Call("update", "k", "v"),
            Call("mounts", "k"),
            Call("commit", "k", "c"),
            Call("view", "v", "c"),
            Call("usage", "v"),
            Call("list"),
            Call("list", 'name=="c"'),
            Call("remove", "v"),
            Call("cleanup"),
        ]

        answer = client.run(calls, want=True)

        assert len(answer.durations_ns) == len(calls)
        assert min(answer.durations_ns) > 0
        expected = {"name": "k", "parent": "", "kind": "Active", "labels": {"a": "b"}}
        assert answer.results[2] == expected
        assert answer.results[3]["labels"] == {"a": "b", "bench.updated": "v"}
        assert answer.results[4][0]["type"] == "bind"
        assert sorted(answer.results[8]) == ["c", "v"]
        assert answer.results[9] == ["c"]

    def test_a_call_that_fails_is_named_with_the_servers_words(
        self, client: LoadClient
    ) -> None:
        with pytest.raises(InvalidResultError, match=r"stat 'b' failed: .*not exist"):
            client.run([Call("prepare", "a"), Call("stat", "b")])

    def test_a_client_goes_on_after_a_failure(self, client: LoadClient) -> None:
        with pytest.raises(InvalidResultError):
            client.run([Call("remove", "nobody")])

        assert client.run([Call("noop")]).durations_ns


@pytest.mark.slow
def test_a_populated_store_holds_what_was_promised(
    target: SnapshotService, client: LoadClient
) -> None:
    population = populate(client, 20, seed=1)

    with target.connect() as observer:
        found = {info.name: info.parent for info in observer.walk()}
        listed = {info.name for info in observer.walk([LISTED_FILTER])}

    assert found == dict(population.parents)
    assert listed == set(population.listed)
    assert len(listed) == 10
    assert set(population.tops) | set(population.containers) <= found.keys()


@pytest.mark.slow
def test_populations_of_one_seed_are_equal_and_of_two_tags_apart() -> None:
    with running(SnapfsService) as target:
        client = PythonClient(target.address)
        with contextlib.closing(client):
            first = populate(client, 10, seed=5, files=1)
            second = populate(client, 10, seed=5, tag="again")
            client.run([Call("remove", name) for name in leaves_first(first)])

            third = populate(client, 10, seed=5)

    assert third == first
    assert not first.parents.keys() & second.parents.keys()


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_call_is_measured_and_leaves_the_store_as_it_was(
    operation: str, target: SnapshotService, workspace: Workspace
) -> None:
    cell = Cell({"call": operation, "snapshots": 10}, operations=3)

    outcomes = run_trial(SnapshotCallLatency(), target, cell, workspace)

    assert [len(outcome.durations_ns) for outcome in outcomes] == [3, 3]
    with target.connect() as observer:
        assert sum(1 for _ in observer.walk()) == 10
    assert len(target.leftovers()) == 10


@pytest.mark.slow
def test_commits_can_hold_files(target: SnapshotService, workspace: Workspace) -> None:
    cell = Cell({"call": "commit", "snapshots": 10, "files": 2}, operations=2)
    trial = SnapshotCallLatency().open(target, cell, workspace, seed=1)
    try:
        trial.set_up()
        with target.connect() as observer:
            active = [i.name for i in observer.walk() if i.name.startswith("default/r")]
            held = [observer.usage(name).inodes for name in active]
        trial.validate(trial.run_once())
        trial.tear_down()
    finally:
        trial.close()

    assert len(held) == 2
    # The root directory, and the files.
    assert set(held) == {3}
    assert len(target.leftovers()) == 10


@pytest.mark.slow
@pytest.mark.containerd
def test_a_container_is_run_and_removed(
    target: SnapshotService, workspace: Workspace
) -> None:
    scenario = ContainerStartLatency()
    if reason := scenario.refuses(target):
        pytest.skip(reason)
    before = {path.name for path in Path("/sys/fs/cgroup").glob("**/snapfs-bench-*")}

    with tempfile.TemporaryDirectory(prefix="b-") as directory:
        own = Workspace(Path(directory), Path(directory), "as found")
        outcomes = run_trial(scenario, target, container_cell(1), own)

    assert [outcome.operations for outcome in outcomes] == [1, 1]
    after = {path.name for path in Path("/sys/fs/cgroup").glob("**/snapfs-bench-*")}
    assert after <= before


def test_what_only_differs_in_commits_is_asked_about_commits_only() -> None:
    synced = SnapfsService(Durability.LAYER)

    assert not SnapshotCallLatency().refuses(synced)
    for scenario in (ServiceStartUp(), CollectionPass(), ContainerStartLatency()):
        assert "commits only" in scenario.refuses(synced)


@pytest.mark.slow
def test_a_start_up_is_over_when_the_service_answers(
    target: SnapshotService, workspace: Workspace
) -> None:
    outcomes = run_trial(ServiceStartUp(), target, Cell({"snapshots": 10}), workspace)

    assert len(outcomes) == 2


@pytest.mark.slow
@pytest.mark.parametrize("until", ["metadata", "space"])
def test_a_collection_clears_the_store(
    until: str, target: SnapshotService, workspace: Workspace
) -> None:
    cell = Cell({"snapshots": 20, "until": until}, operations=20)

    run_trial(CollectionPass(), target, cell, workspace)

    assert not target.leftovers()


@pytest.mark.slow
@pytest.mark.root
def test_a_chain_of_layers_is_made_checked_and_removed(
    target: SnapshotService, workspace: Workspace
) -> None:
    cell = LayerChain().cells(Profile.FULL)[0]

    outcomes = run_trial(LayerChain(), target, cell, workspace)

    assert [len(outcome.durations_ns) for outcome in outcomes] == [LAYERS, LAYERS]
    assert not target.leftovers()


@pytest.mark.slow
@pytest.mark.root
def test_containerds_own_benchmark_makes_the_same_chain(
    target: SnapshotService, workspace: Workspace
) -> None:
    peer = BenchSuite()
    if reason := peer.unavailable():
        pytest.skip(reason)
    cells = LayerChain().cells(Profile.FULL)
    trial = LayerChain().open(target, cells[0], workspace, seed=1)
    try:
        whole, *phases = [peer.measure(trial, cell)[0] for cell in cells]
    finally:
        trial.close()

    assert min(whole, *phases) > 0
    assert not target.leftovers()


@pytest.mark.slow
def test_without_go_the_cells_name_the_python_client(
    monkeypatch: pytest.MonkeyPatch, workspace: Workspace
) -> None:
    absent = dataclasses.replace(LOAD, module=workspace.directory)
    monkeypatch.setattr(load_client, "LOAD", absent)
    cell = SnapshotCallLatency().cells(Profile.QUICK)[0]

    with running(SnapfsService) as target:
        outcomes = run_trial(SnapshotCallLatency(), target, cell, workspace)

    assert cell.parameters["client"] == "python"
    assert outcomes[0].durations_ns


class TestPlans:
    POPULATION = Population(
        parents={"layer": "", "container": "layer"},
        tops=["layer"],
        containers=["container"],
        listed=["layer"],
    )

    @pytest.mark.parametrize(
        ("operation", "result"),
        [
            pytest.param("stat", {"name": "other", "parent": ""}, id="stat"),
            pytest.param("update", {"labels": {"bench.updated": "old"}}, id="update"),
            pytest.param("mounts", [], id="mounts"),
            pytest.param("prepare", [{"type": "bind", "options": ["rw"]}], id="bind"),
            pytest.param("list", ["layer"], id="list-misses-one"),
            pytest.param("list", ["layer"] * 2, id="list-repeats-one"),
            pytest.param(
                "list-tenth", ["layer", "container"], id="list-ignores-filter"
            ),
        ],
    )
    def test_a_wrong_answer_is_rejected(self, operation: str, result: object) -> None:
        run = Run(self.POPULATION, ["key"], random.Random(1))

        with pytest.raises(InvalidResultError):
            plan(operation, run).check(Answer([1], [result]))

    @pytest.mark.parametrize("operation", ["prepare", "view", "commit", "remove"])
    def test_what_a_change_must_leave_is_looked_up(self, operation: str) -> None:
        made = plan(operation, Run(self.POPULATION, ["key"], random.Random(1)))

        assert made.leaves
        assert made.after or operation == "remove"


@pytest.mark.slow
def test_a_service_that_forgets_what_it_acknowledged_is_rejected(
    monkeypatch: pytest.MonkeyPatch, workspace: Workspace
) -> None:
    cell = Cell({"call": "prepare", "snapshots": 10}, operations=2)
    scenario = SnapshotCallLatency()

    with running(SnapfsService) as target:
        trial = scenario.open(target, cell, workspace, seed=1)
        try:
            trial.set_up()
            outcome = trial.run_once()
            trial.tear_down()  # the snapshots are gone, as after a lost write

            with pytest.raises(InvalidResultError, match="is None"):
                trial.validate(outcome)
        finally:
            trial.close()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.name)
def test_a_tree_is_refused_with_a_reason(scenario: Scenario) -> None:
    assert scenario.refuses(PlainDirectory())


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.name)
@pytest.mark.parametrize("profile", Profile)
def test_cells_are_distinct_in_every_profile(
    scenario: Scenario, profile: Profile
) -> None:
    labels = [cell.label for cell in scenario.cells(profile)]

    assert labels
    assert len(set(labels)) == len(labels)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scenario", "cell"),
    [
        *(
            pytest.param(
                SnapshotCallLatency(),
                Cell({"call": operation, "snapshots": 10}, operations=2),
                id=operation,
            )
            for operation in ("prepare", "commit", "remove")
        ),
        pytest.param(ServiceStartUp(), Cell({"snapshots": 10}), id="start-up"),
        pytest.param(
            CollectionPass(),
            Cell({"snapshots": 10, "until": "space"}, operations=10),
            id="collection",
        ),
    ],
)
def test_a_run_that_was_set_up_and_not_made_is_undone(
    scenario: Scenario, cell: Cell, target: SnapshotService, workspace: Workspace
) -> None:
    trial = scenario.open(target, cell, workspace, seed=1)
    before = len(target.leftovers())
    try:
        trial.set_up()
        trial.tear_down()

        assert len(target.leftovers()) == before
        trial.set_up()
        trial.validate(trial.run_once())
        trial.tear_down()
    finally:
        trial.close()
