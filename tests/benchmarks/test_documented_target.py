"""The target that docs/benchmarks.md shows: short, complete, and let in by the gate."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from snapfs.benchmarks import syscall_counts
from snapfs.benchmarks.backing import Backing
from snapfs.benchmarks.outside import load_targets
from snapfs.benchmarks.results import load
from snapfs.benchmarks.scenarios import SCENARIOS
from snapfs.benchmarks.semantics import check_semantics, first_problem
from snapfs.benchmarks.workspaces import open_workspaces
from snapfs.cli import bench
from snapfs.cli.main import main
from snapfs.errors import InvalidArgumentError
from support.benchmarking import Copy, Question

DOCUMENT = Path(__file__).parents[2] / "docs/benchmarks.md"

# cp stands in for rsync, for machines without it: both copy a directory's content.
STAND_IN = '#!/bin/sh\nmkdir -p "$3" && cp -a -f "$2." "$3"\n'


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    file = tmp_path / "rsync_copy.py"
    file.write_text(code)
    if shutil.which("rsync") is None:
        programs = tmp_path / "bin"
        programs.mkdir()
        (programs / "rsync").write_text(STAND_IN)
        (programs / "rsync").chmod(0o700)
        monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    return file


def test_the_example_has_thirty_lines_of_code(example: Path) -> None:
    lines = [line for line in example.read_text().splitlines() if line.strip()]

    assert len(lines) <= 30


def test_the_example_passes_the_gate(example: Path, tmp_path: Path) -> None:
    target = load_targets(example)["rsync-copy"]()

    with open_workspaces(Backing.DIRECTORY, tmp_path) as workspaces:
        results = check_semantics(target, workspaces)

    assert target.unavailable() == ""
    assert first_problem(results) == ""


def test_the_example_is_measured(
    example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = Question(work=lambda _: (sum(range(3000)), None)[1])
    base: Callable[[], Copy] = lambda: Copy("base")  # noqa: E731
    monkeypatch.setattr(
        bench, "registries", lambda: ({"base": base}, {question.name: question})
    )
    monkeypatch.setattr(syscall_counts, "unavailable", lambda: "left out")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    file = tmp_path / "r.json"
    words = ("--cpus", "free", "--backing", "directory", "--with", str(example))

    code = main(["bench", "run", *words, "--json", str(file)])

    assert code == 0
    (comparison,) = load(file).comparisons
    assert "rsync-copy" in comparison.instances


@pytest.mark.parametrize(
    ("code", "named"),
    [
        pytest.param("TARGETS = 1/0", "ZeroDivisionError", id="fails"),
        pytest.param("", "AttributeError", id="no-list"),
        pytest.param("import no_such_module", "no_such_module", id="import"),
    ],
)
def test_a_file_without_targets_is_refused(
    tmp_path: Path, code: str, named: str
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(code)

    with pytest.raises(InvalidArgumentError, match=rf"mine\.py .*{named}"):
        load_targets(file)


def test_every_scenario_is_explained() -> None:
    document = DOCUMENT.read_text()

    assert [name for name in SCENARIOS if f"`{name}`" not in document] == []
    rows = document.partition("| --- |")[2].partition("##")[0]
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", rows))
    assert named <= set(SCENARIOS)
