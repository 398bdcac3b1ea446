"""Imports into a containerd: how long each part of one takes, by its own events."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs.benchmarks.protocols import Cell, InvalidResultError, Outcome
from snapfs.benchmarks.scenarios import snapshot_events
from snapfs.benchmarks.scenarios.image_import import ImageImport
from snapfs.benchmarks.scenarios.private_containerd import PrivateContainerd
from snapfs.benchmarks.scenarios.snapshot_events import SnapshotEvents
from snapfs.benchmarks.targets.catalog import TARGETS
from snapfs.benchmarks.targets.containerd_unpack import ContainerdUnpack
from snapfs.benchmarks.workspaces import Workspaces
from support.benchmarking import run_trial
from support.image_benchmarks import opened_workspaces

CONTAINERDS = ["containerd-1-unpack", "containerd-2-unpack", "containerd-2-snapfs"]


@pytest.fixture
def workspaces(tmp_path: Path) -> Iterator[Workspaces]:
    with opened_workspaces(tmp_path) as workspaces:
        yield workspaces


@pytest.mark.root
@pytest.mark.parametrize("name", CONTAINERDS)
def test_an_unpack_is_a_part_of_its_import(name: str, workspaces: Workspaces) -> None:
    target = TARGETS[name]()
    if reason := target.unavailable():
        pytest.skip(reason)
    scenario = ImageImport()
    target.start(workspaces.take())
    try:
        spans: list[Outcome] = []
        for span in ("prepare-to-commit", "whole-import"):
            cell = Cell({"span": span, "files": 60, "size_mib": 1, "layers": 3})
            trial = scenario.open(target, cell, workspaces.take(), seed=1)
            # The second must not see the first one's events.
            spans += [run_trial(trial) for _ in range(2)]
            trial.close()
    finally:
        target.stop()

    for part, whole in zip(spans[:2], spans[2:], strict=True):
        assert part.durations_ns[0] // 1000 == part.counts["prepare_to_commit_us"]
        assert whole.durations_ns[0] // 1000 == whole.counts["whole_us"]
    assert all(
        0 < each.counts["prepare_to_commit_us"] < each.counts["whole_us"]
        for each in spans
    )


class _Told(PrivateContainerd):
    """A containerd that has told of these events, and of no others."""

    def __init__(self, lines: str) -> None:
        self._lines = lines

    def follow_events(self, output: Path) -> None:
        output.write_text(self._lines)


def _event(clock: str, topic: str) -> str:
    return f'2024-05-01 {clock} +0000 UTC default {topic} {{"key":"a b"}}\n'


def test_a_span_is_from_the_first_prepare_to_the_last_commit(tmp_path: Path) -> None:
    lines = (
        _event("23:59:59.5", "/snapshot/prepare")
        + _event("23:59:59.75", "/snapshot/prepare")
        + _event("23:59:59.9", "/snapshot/commit")
        + _event("23:59:59.999999999", "/snapshot/commit")
        + "2024-05-01 23:59"  # it is still being written
    )
    events = SnapshotEvents(_Told(lines), tmp_path / "events")

    assert events.span_ns(2) == 499_999_999


def test_events_that_do_not_come_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_events, "_TIMEOUT_S", 0.0)
    told = _Told(_event("10:00:00", "/snapshot/commit"))
    events = SnapshotEvents(told, tmp_path / "events")

    with pytest.raises(InvalidResultError, match="nothing was prepared"):
        events.span_ns(1)
    events.forget()
    with pytest.raises(InvalidResultError, match="0 of 1 were committed"):
        events.span_ns(1)


def test_who_is_no_containerd_is_not_asked() -> None:
    asked = [
        name for name, make in TARGETS.items() if not ImageImport().refuses(make())
    ]

    assert asked == CONTAINERDS
    assert all(isinstance(TARGETS[name](), ContainerdUnpack) for name in asked)
