"""A run that ends too soon: what it has measured is kept, and not measured again."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from snapfs import mountinfo
from snapfs.benchmarks.backing import Backing, provide
from snapfs.benchmarks.leftovers import alive, sweep
from snapfs.benchmarks.protocols import (
    Cell,
    Fairness,
    Outcome,
    Profile,
    Target,
    Trial,
    Workspace,
)
from snapfs.benchmarks.results import Results, TargetRecord, load
from snapfs.benchmarks.resuming import keep
from snapfs.benchmarks.suite import Suite
from snapfs.cli.main import main
from snapfs.errors import FailedPreconditionError
from support.benchmarking import (
    Copy,
    Question,
    leave_out_what_others_try,
    request,
)

REPOSITORY = Path(__file__).parents[2]


class Interrupted(BaseException):
    """Ends a run as SIGINT would."""


class ThreeCells(Question):
    """Asks at three cells; ends the run when it comes to cell ``last``."""

    def __init__(self, last: int = 9) -> None:
        super().__init__()
        self._last = last
        self.asked: list[int] = []

    def cells(self, profile: Profile) -> list[Cell]:
        cell = Cell({"depth": 1}, operations=10, runs=3, expected_s=0.0)
        return [dataclasses.replace(cell, parameters={"depth": n}) for n in range(3)]

    def open(
        self, target: Target, cell: Cell, workspace: Workspace, seed: int
    ) -> Trial:
        depth = int(cell.parameters["depth"])
        if depth >= self._last:
            raise Interrupted
        self.asked.append(depth)
        return super().open(target, cell, workspace, seed)


@pytest.fixture(autouse=True)
def _in_short(monkeypatch: pytest.MonkeyPatch) -> None:
    leave_out_what_others_try(monkeypatch)


def run(
    directory: Path,
    question: ThreeCells,
    file: Path,
    targets: tuple[str, ...] = ("base", "other"),
    **changes: object,
) -> Results:
    return Suite(
        request(directory, **changes),
        {name: lambda name=name: Copy(name) for name in targets},  # type: ignore[misc]
        {question.name: question},
        clock=question.clock,
        earlier=load(file) if file.exists() else None,
        keep=lambda results: keep(results, file),
    ).run()


@pytest.fixture
def half_done(tmp_path: Path) -> Path:
    """Return the file of a run that ended in its third cell."""
    file = tmp_path / "kept.json"
    with pytest.raises(Interrupted):
        run(tmp_path, ThreeCells(last=2), file)
    return file


def test_what_is_measured_is_kept_as_soon_as_a_cell_is_done(half_done: Path) -> None:
    results = load(half_done)

    assert [each.parameters["depth"] for each in results.comparisons] == [0, 1]
    assert set(results.targets) == {"base", "other"}
    (waiting,) = results.left_out
    assert waiting == "a_question depth=2 warm free"
    assert results.left_out[waiting] == "the run ended before it"
    assert [entry.name for entry in half_done.parent.iterdir()] == ["kept.json"]


def test_a_resumed_run_measures_only_what_is_missing(
    half_done: Path, tmp_path: Path
) -> None:
    before = load(half_done)
    question = ThreeCells()

    after = run(tmp_path, question, half_done)

    assert set(question.asked) == {2}
    assert after.comparisons[:2] == before.comparisons
    assert [each.parameters["depth"] for each in after.comparisons] == [0, 1, 2]
    assert after.started == before.started
    assert len(after.resumed) == 1
    assert after.left_out == {}
    assert load(half_done) == after


def test_a_run_that_is_done_measures_nothing_again(tmp_path: Path) -> None:
    file = tmp_path / "kept.json"
    first = run(tmp_path, ThreeCells(), file)
    question = ThreeCells()

    again = run(tmp_path, question, file)

    assert question.asked == []
    assert again.comparisons == first.comparisons
    assert again.targets == first.targets


def test_a_cell_with_other_targets_is_measured_again(
    half_done: Path, tmp_path: Path
) -> None:
    question = ThreeCells()

    after = run(tmp_path, question, half_done, ("base", "other", "third"))

    assert set(question.asked) == {0, 1, 2}
    assert all("third" in each.instances for each in after.comparisons)


def test_a_cell_with_another_baseline_is_measured_again(
    half_done: Path, tmp_path: Path
) -> None:
    question = ThreeCells()

    after = run(tmp_path, question, half_done, baseline="other")

    assert set(question.asked) == {0, 1, 2}
    assert {each.reference for each in after.comparisons} == {"other"}


def test_what_was_measured_of_other_cells_stays_in_the_file(
    half_done: Path, tmp_path: Path
) -> None:
    before = load(half_done)
    question = ThreeCells()
    question.name = "another_question"

    after = run(tmp_path, question, half_done, ("base", "third"))

    assert after.comparisons[:2] == before.comparisons
    assert [each.scenario for each in after.comparisons[2:]] == [question.name] * 3
    assert set(after.targets) == {"base", "other", "third"}
    assert load(half_done) == after


def test_a_run_ends_when_it_is_told_to_even_if_undoing_fails(tmp_path: Path) -> None:
    class Stuck(Trial):
        def run_once(self) -> Outcome:
            raise Interrupted

        def tear_down(self) -> None:
            raise OSError("the server is gone")

    class Ending(ThreeCells):
        def open(
            self, target: Target, cell: Cell, workspace: Workspace, seed: int
        ) -> Trial:
            return Stuck()

    with pytest.raises(Interrupted):
        run(tmp_path, Ending(), tmp_path / "kept.json")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        pytest.param(lambda r: dataclasses.replace(r, seed=7), "the seed", id="seed"),
        pytest.param(
            lambda r: dataclasses.replace(r, revision="0123"), "the commit", id="commit"
        ),
        pytest.param(
            lambda r: dataclasses.replace(
                r, machine=dataclasses.replace(r.machine, kernel="1.0")
            ),
            "the machine",
            id="machine",
        ),
        pytest.param(
            lambda r: dataclasses.replace(
                r,
                comparisons=tuple(
                    dataclasses.replace(each, backing="another (rw)")
                    for each in r.comparisons
                ),
            ),
            "the filesystem",
            id="filesystem",
        ),
        pytest.param(
            lambda r: dataclasses.replace(
                r,
                targets={
                    "base": TargetRecord("", Fairness("all is synced", "", "1"), "", ())
                },
            ),
            "the target base",
            id="target",
        ),
    ],
)
def test_what_would_not_be_one_run_is_refused(
    half_done: Path,
    tmp_path: Path,
    change: Callable[[Results], Results],
    named: str,
) -> None:
    keep(change(load(half_done)), half_done)
    before = half_done.read_bytes()

    with pytest.raises(FailedPreconditionError, match=named):
        run(tmp_path, ThreeCells(), half_done)
    assert half_done.read_bytes() == before


def test_two_files_to_write_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--resume", str(tmp_path / "a"), "--json", str(tmp_path / "b")]

    assert main(["bench", "run", *words]) == 2
    assert "leave out --json FILE" in capsys.readouterr().err


def test_a_directory_in_use_is_not_swept(tmp_path: Path) -> None:
    with provide(Backing.DIRECTORY, tmp_path) as (root, _):
        (root / "file").touch()
        sweep(tmp_path)
        assert (root / "file").exists()


def test_what_a_dead_run_left_is_swept_and_what_has_no_mark_is_not(
    tmp_path: Path,
) -> None:
    dead, unknown = tmp_path / "snapfs-bench-dead", tmp_path / "snapfs-bench-unknown"
    for directory in (dead, unknown):
        (directory / "fs").mkdir(parents=True)
    with alive(dead):
        pass

    sweep(tmp_path)

    assert not dead.exists()
    assert unknown.exists()


def test_servers_of_a_dead_run_are_ended_and_no_others(tmp_path: Path) -> None:
    dead = tmp_path / "snapfs-bench-dead"
    dead.mkdir()
    with alive(dead):
        pass
    waiting = (sys.executable, "-c", "import time; time.sleep(600)")
    server = subprocess.Popen((*waiting, str(dead / "w0/merged")))
    other = subprocess.Popen((*waiting, str(tmp_path)))

    sweep(tmp_path)

    assert server.wait() == -signal.SIGKILL
    assert other.poll() is None
    other.kill()
    other.wait()


@pytest.mark.root
@pytest.mark.slow
def test_a_killed_run_goes_on_and_nothing_of_it_stays(tmp_path: Path) -> None:
    if reason := Backing.TMPFS.unavailable():
        pytest.skip(reason)
    file = tmp_path / "kept.json"
    work = tmp_path / "work"
    work.mkdir()
    command = (
        *(sys.executable, "-m", "benchmarks", "run"),
        *("--only", "mount_latency", "--cell", "depth=32"),
        *("--cpus", "1", "--cpus", "free", "--backing", "tmpfs"),
        *("--targets", "kernel-overlayfs,kernel-overlayfs-volatile"),
        *("--size-mb", "512", "--directory", str(work), "--resume", str(file)),
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}  # so is the lock its own

    first = subprocess.Popen(
        command, cwd=REPOSITORY, env=environment, stdout=subprocess.DEVNULL
    )
    while not file.exists():
        assert first.poll() is None, "it ended before it was killed"
        time.sleep(0.01)
    # In the second cell; of a run that is killed before it has marked a directory,
    # that stays, empty: whose it is nobody knows.
    while not (
        mountinfo.mounts_below(str(work)) and any(tmp_path.glob("snapfs-b*/alive"))
    ):
        assert first.poll() is None, "it ended before it was killed"
        time.sleep(0.001)
    first.send_signal(signal.SIGKILL)
    first.wait()
    (kept,) = load(file).comparisons
    subprocess.run(
        command, cwd=REPOSITORY, env=environment, check=True, capture_output=True
    )

    after = load(file)
    assert after.comparisons[0] == kept
    assert [each.placement for each in after.comparisons] == ["one-cpu", "free"]
    assert not mountinfo.mounts_below(str(tmp_path))
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["kept.json", "work"]
    assert list(work.iterdir()) == []
