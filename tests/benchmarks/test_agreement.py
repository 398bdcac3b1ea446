"""This instrument and its peers, on the same trees."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest

from snapfs.benchmarks import agreement
from snapfs.benchmarks.agreement import TARGETS, Pair, compare_instruments
from snapfs.benchmarks.backing import Backing, best_available
from snapfs.benchmarks.benchsuite import BenchSuite, seconds_a_layer
from snapfs.benchmarks.peers import Fio, Hyperfine, Peer
from snapfs.benchmarks.protocols import Cell, TreeTarget, Trial, Workspace
from snapfs.benchmarks.scenarios.command_time import CommandTime
from snapfs.benchmarks.scenarios.sequential_throughput import (
    BLOCK_BYTES,
    SequentialThroughput,
)
from snapfs.benchmarks.targets import TARGETS as ALL_TARGETS
from snapfs.benchmarks.targets.plain_directory import PlainDirectory
from snapfs.benchmarks.verdicts import Verdict
from snapfs.benchmarks.workspaces import open_workspaces
from snapfs.errors import UnavailableError

COMMAND = Cell({"command": "find", "depth": 2, "files": 20}, runs=3, warmups=1)
THROUGHPUT = {"size_bytes": 4 * BLOCK_BYTES}

# hyperfine starts a command from a smaller process than we do; fio counts the blocks
# only, we the loop around them. What benchmarks/README.md explains stays below this.
EXPLAINED = 1.10


@pytest.fixture
def tree(tmp_path: Path) -> TreeTarget:
    made = PlainDirectory()
    (tmp_path / "t").mkdir()
    made.start(Workspace(tmp_path / "t", tmp_path, "as found"))
    return made


def need(peer: Peer) -> None:
    if reason := peer.unavailable():
        pytest.skip(reason)


def test_what_random_bytes_take_is_no_part_of_a_write_of_benchsuites() -> None:
    told = """\
BenchmarkProxy/content\t      32\t   1000000 ns/op
BenchmarkProxy/run-2  \t       1\t 300000000 ns/op\t 559.24 MB/s
BenchmarkProxy/prepare   \t       1\t  16000000 ns/op
BenchmarkProxy/write     \t       1\t 254000000 ns/op
BenchmarkProxy/commit    \t       1\t  32000000 ns/op
"""

    assert seconds_a_layer(told, "prepare") == pytest.approx(0.001)
    assert seconds_a_layer(told, "write") == pytest.approx((0.254 - 0.094) / 16)
    assert seconds_a_layer(told, "all") == pytest.approx((0.300 - 0.094) / 16)
    with pytest.raises(UnavailableError, match="nothing of commit"):
        seconds_a_layer(told.replace("content", "other"), "commit")


def test_hyperfine_runs_the_command_of_the_trial(
    tree: TreeTarget, tmp_path: Path
) -> None:
    need(Hyperfine())
    trial = CommandTime().trial(tree, COMMAND, Workspace(tmp_path, tmp_path, ""), 1)

    times = Hyperfine().measure(trial, COMMAND)

    assert len(times) == 3
    assert all(0 < seconds < 10 for seconds in times)


@pytest.mark.parametrize("direction", ["read", "write"])
def test_fio_moves_the_file_of_the_trial(
    direction: str, tree: TreeTarget, tmp_path: Path
) -> None:
    need(Fio())
    cell = Cell({"direction": direction, **THROUGHPUT}, operations=4, runs=2, warmups=0)
    workspace = Workspace(tmp_path, tmp_path, "")
    trial = SequentialThroughput().trial(tree, cell, workspace, 1)

    times = Fio().measure(trial, cell)

    assert len(times) == (2 if direction == "write" else 1)
    assert min(times) > 0
    assert trial.file.exists() is (direction == "read")
    trial.close()


def test_a_peer_that_fails_is_an_error_with_its_words(
    tree: TreeTarget, tmp_path: Path
) -> None:
    need(Hyperfine())
    trial = CommandTime().trial(tree, COMMAND, Workspace(tmp_path, tmp_path, ""), 1)
    trial.words = ("/no/such/program",)

    with pytest.raises(UnavailableError, match="no/such/program"):
        Hyperfine().measure(trial, COMMAND)


class Echo:
    """A peer that says what it is told to."""

    name = "echo"

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def unavailable(self) -> str:
        return ""

    def version(self) -> str:
        return "echo 1"

    def measure(self, trial: Trial, cell: Cell) -> list[float]:
        return [self._seconds] * cell.runs


def test_a_peer_that_sees_something_else_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Small(CommandTime):
        def cells(self, profile: object) -> list[Cell]:
            return [COMMAND]

    plain = dict.fromkeys(TARGETS, PlainDirectory)
    monkeypatch.setattr(agreement, "_PAIRS", (Pair(Small(), Echo(1e-9)),))
    with open_workspaces(Backing.DIRECTORY, tmp_path) as workspaces:
        found = compare_instruments(plain, workspaces, blocks=6)

    assert [each.effect.verdict for each in found.times] == [Verdict.SLOWER] * 2
    assert len(found.ratios) == 1
    assert found.ratios[0].theirs.ratio == 1.0
    assert found.unavailable == []


def test_without_any_peer_nothing_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _program: None)

    with (
        open_workspaces(Backing.DIRECTORY, tmp_path) as workspaces,
        pytest.raises(UnavailableError, match=r"hyperfine .*; fio is not installed"),
    ):
        compare_instruments(ALL_TARGETS, workspaces)


@pytest.mark.full
@pytest.mark.slow
@pytest.mark.root
def test_the_instrument_agrees_with_its_peers(tmp_path: Path) -> None:
    peers = (Hyperfine(), Fio(), BenchSuite())
    for peer in peers:
        need(peer)

    with open_workspaces(best_available(), tmp_path) as workspaces:
        found = compare_instruments(ALL_TARGETS, workspaces, blocks=9)

    assert len(found.times) == 14
    for each in found.times:
        name = f"{each.scenario} {each.cell} {each.target}: {each.effect}"
        print(name)
        nearest = max(each.effect.low, min(1.0, each.effect.high))
        is_explained = abs(math.log(nearest)) <= math.log(EXPLAINED)
        assert each.effect.verdict is Verdict.SAME or is_explained, name
    for ratio in found.ratios:
        assert ratio.ours.low <= ratio.theirs.high, ratio
        assert ratio.theirs.low <= ratio.ours.high, ratio
