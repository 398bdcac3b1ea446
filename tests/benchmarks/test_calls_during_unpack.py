"""Calls while a layer is unpacked: each is timed, and the layer is whole."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs.benchmarks.instance import Instance
from snapfs.benchmarks.placement import Pinning, Placement
from snapfs.benchmarks.protocols import Cell, InvalidResultError, Outcome, Profile
from snapfs.benchmarks.scenarios.calls_during_unpack import CallsDuringUnpack
from snapfs.benchmarks.targets.catalog import TARGETS
from snapfs.benchmarks.workspaces import Workspaces
from support.image_benchmarks import opened_workspaces


@pytest.fixture
def workspaces(tmp_path: Path) -> Iterator[Workspaces]:
    with opened_workspaces(tmp_path) as workspaces:
        yield workspaces


@pytest.mark.root
def test_calls_are_timed_with_and_without_an_unpack(workspaces: Workspaces) -> None:
    target = TARGETS["containerd-2-snapfs"]()
    if reason := target.unavailable():
        pytest.skip(reason)
    scenario = CallsDuringUnpack()
    target.start(workspaces.take())
    try:
        for load in ("idle", "unpack"):
            cell = Cell({"load": load, "files": 60, "size_mib": 1}, runs=1)
            trial = scenario.open(target, cell, workspaces.take(), seed=1)
            for _ in range(2):
                trial.set_up()
                outcome = trial.run_once()
                trial.validate(outcome)
                trial.tear_down()
                assert outcome.operations == len(outcome.durations_ns) >= 100
            with pytest.raises(InvalidResultError, match="layers were unpacked"):
                trial.validate(Outcome(1))
            trial.close()
    finally:
        target.stop()


@pytest.mark.root
@pytest.mark.slow
def test_the_runner_takes_as_many_calls_as_fit(workspaces: Workspaces) -> None:
    target = TARGETS["containerd-2-snapfs"]()
    if reason := target.unavailable():
        pytest.skip(reason)
    for planned in CallsDuringUnpack().cells(Profile.QUICK):
        words = {**planned.parameters, "files": 60, "size_mib": 1}
        cell = dataclasses.replace(planned, parameters=words)
        instance = Instance(
            "it",
            TARGETS["containerd-2-snapfs"](),
            CallsDuringUnpack(),
            cell,
            Pinning(Placement.FREE),
        )
        try:
            instance.open(workspaces, 1)
            (sample,) = instance.run_block(0)
            counted = instance.count(1, ())
        finally:
            instance.close()

        assert sample.operations == len(sample.durations_ns) >= 100
        assert counted.operations >= 100


def test_other_targets_are_not_asked() -> None:
    scenario = CallsDuringUnpack()

    asked = [name for name, make in TARGETS.items() if not scenario.refuses(make())]

    assert asked == ["containerd-2-snapfs"]
