"""``snapfs bench``, ``python -m benchmarks`` and ``pytest benchmarks/``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from snapfs.benchmarks import syscall_counts
from snapfs.benchmarks.backing import Backing
from snapfs.benchmarks.profiles import SCHEDULES, cells_of
from snapfs.benchmarks.protocols import Profile
from snapfs.benchmarks.replay import ReplayClock
from snapfs.benchmarks.results import load
from snapfs.benchmarks.scenarios.file_creation import FileCreation
from snapfs.cli import bench, bench_gate, bench_list
from snapfs.cli.main import main
from support.benchmarking import Copy, LosesData, Question

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., tuple[int, str, str]]:
    """Run the command on fake targets, in a directory of its own."""

    def work(target: object) -> None:
        sum(range(3000))

    question = Question(work=work)

    def registries() -> object:
        targets = {"base": lambda: Copy("base"), "bad": lambda: LosesData("bad")}
        return targets, {question.name: question}

    for module in (bench, bench_gate, bench_list):
        monkeypatch.setattr(module, "registries", registries)
    monkeypatch.setattr(syscall_counts, "unavailable", lambda: "left out")

    def invoke(*words: str | Path) -> tuple[int, str, str]:
        code = main(["bench", *map(str, words)])
        found = capsys.readouterr()
        return code, found.out, found.err

    work_directory = tmp_path / "work"
    work_directory.mkdir()
    # Also what is locked: these runs need not wait for real ones.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return invoke


MEASURE = ("run", "--cpus", "free", "--backing", "directory", "--directory")


def test_list_names_questions_and_targets(
    run: Callable[..., tuple[int, str, str]],
) -> None:
    code, out, _ = run("list")

    assert code == 0
    assert "How long does nothing take?" in out
    assert "an honest fake" in out


def test_list_as_json_has_the_cells(run: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = run("list", "--json")

    document = json.loads(out)
    assert code == 0
    assert document["scenarios"][0]["cells"] == [{"depth": 1, "cache": "warm"}]
    assert [target["name"] for target in document["targets"]] == ["base", "bad"]


def test_run_prints_a_table_and_writes_every_sample(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    file = tmp_path / "result.json"

    code, out, err = run(*MEASURE, tmp_path / "work", "--json", file)

    assert code == 0
    assert "base (baseline)" in out
    assert "bad: n/a (does not hold: keeps what is written" in out
    assert "[1/1] a_question depth=1 warm free" in err
    (comparison,) = load(file).comparisons
    assert all(block.samples["base"] for block in comparison.blocks)
    assert list((tmp_path / "work").iterdir()) == []


def test_json_without_a_file_replaces_the_tables(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    code, out, _ = run(*MEASURE, tmp_path / "work", "--json")

    assert code == 0
    assert json.loads(out)["schema"] == "snapfs-benchmark"


def test_compare_reads_two_files(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    file = tmp_path / "result.json"
    run(*MEASURE, tmp_path / "work", "--json", file)

    code, out, err = run("compare", file, file)
    as_json = run("compare", file, file, "--json")

    assert code == 0, err
    assert "base *" in out
    assert "1.00" in out
    assert json.loads(as_json[1])["changes"][0]["verdict"] == "same"


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        pytest.param(("run", "--only", "a_quest"), 2, "a_question?", id="scenario"),
        pytest.param(("run", "--targets", "x"), 2, "no target is named", id="target"),
        pytest.param(("run", "--cpus", "3"), 2, "--cpus", id="cpus"),
        pytest.param(("compare", "missing", "missing"), 3, "missing", id="file"),
        pytest.param(("compare", __file__, __file__), 7, "no benchmark", id="content"),
    ],
)
def test_mistakes_have_their_exit_codes(
    run: Callable[..., tuple[int, str, str]],
    words: tuple[str, ...],
    code: int,
    complaint: str,
) -> None:
    found, _, err = run(*words)

    assert found == code
    assert complaint in err


def test_gate_fails_on_a_count_above_its_limit(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    baseline = tmp_path / "limits.json"
    limit = {
        "scenario": "a_question",
        "parameters": {"depth": 1},
        "target": "base",
        "counter": "client.cpu_ns",
        "per_operation": 0.1,
        "tolerance": 0.0,
    }
    baseline.write_text(json.dumps([limit]))
    words = ("gate", "--baseline", baseline, "--directory", tmp_path / "work")

    exceeded = run(*words)
    updated = run(*words, "--update")
    limits = json.loads(baseline.read_text())
    limits[0]["tolerance"] = 1000.0
    baseline.write_text(json.dumps(limits))
    held = run(*words, "--json")

    assert exceeded[0] == 1
    assert "exceeded" in exceeded[1]
    assert updated[0] == 0
    assert held[0] == 0
    assert json.loads(held[1])[0]["standing"] == "holds"


def test_the_module_is_the_same_command() -> None:
    completed = subprocess.run(
        [sys.executable, "-m", "benchmarks", "list"],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        check=True,
    )

    assert "file_creation_latency" in completed.stdout


def test_a_replayed_clock_advances_by_the_samples() -> None:
    clock = ReplayClock()
    clock.load([0.5, 0.25])

    seen = [clock()]
    for _ in range(2):
        clock.step()
        seen.append(clock())

    assert seen == [0.0, 0.5, 0.75]


@pytest.mark.slow
def test_pytest_benchmark_replays_the_interleaved_samples(tmp_path: Path) -> None:
    pytest.importorskip("pytest_benchmark")
    file = tmp_path / "benchmark.json"
    backing = Backing.DIRECTORY if Backing.TMPFS.unavailable() else Backing.TMPFS
    completed = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "benchmarks",
            "--suite-only=file_creation_latency",
            "--suite-targets=plain-directory",
            f"--suite-backing={backing}",
            f"--benchmark-json={file}",
        ],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        check=False,
    )

    assert completed.returncode == 0, completed.stdout
    (cell,) = cells_of(FileCreation(), Profile.QUICK)
    for benchmark in json.loads(file.read_text())["benchmarks"]:
        assert benchmark["extra_info"]["blocks"] == SCHEDULES[Profile.QUICK].looks[-1]
        assert (
            benchmark["stats"]["rounds"]
            == benchmark["extra_info"]["blocks"] * cell.runs
        )
        assert benchmark["stats"]["min"] > 0
        assert benchmark["extra_info"]["reference"] == "plain-directory"
