"""``snapfs image ci`` as a process, and the forms that pipelines read."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from support.applied_layers import entry
from support.command import Command
from support.unpack_images import layout_of


@pytest.fixture
def source(tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> str:
    """An image of which a third is hidden; the working directory has no rules."""
    command.environment["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    layers = ([entry("f", b"x" * 100)], [entry("f", b"y" * 200)])
    return f"oci:{layout_of(tmp_path / 'image', *layers)}"


def test_an_image_fails_by_default_and_passes_by_its_own_rules(
    command: Command, source: str, tmp_path: Path
) -> None:
    failed = command("image", "ci", source)
    (tmp_path / ".dive-ci").write_text(
        "rules:\n  lowestEfficiency: 0.6\n  highestUserWastedPercent: disabled\n"
    )
    passed = command("image", "ci", source)
    overridden = command("image", "ci", "--lowestEfficiency", "0.7", source)

    assert (failed.returncode, failed.stderr) == (1, "")
    assert failed.stdout.splitlines()[-1] == "result: fail"
    assert "100 B      1  /f    overwritten by layer 2" in failed.stdout
    assert passed.returncode == 0, passed.stdout
    assert passed.stdout.splitlines()[-1] == "result: pass"
    assert overridden.returncode == 1


def test_json_has_all_numbers(command: Command, source: str) -> None:
    told = json.loads(command("image", "ci", "--json", source).stdout)
    same = json.loads(command("image", "ci", "--format", "json", source).stdout)

    assert told == same
    assert (told["passed"], told["stored_bytes"]) == (False, 300)
    assert told["efficiency"] == pytest.approx(2 / 3)
    assert told["user_wasted"] == pytest.approx(0.5)
    assert [(rule["id"], rule["state"]) for rule in told["rules"]] == [
        ("lowestEfficiency", "fail"),
        ("highestWastedBytes", "skip"),
        ("highestUserWastedPercent", "fail"),
    ]


def test_junit_has_a_case_for_each_rule(command: Command, source: str) -> None:
    done = command("image", "ci", "--format", "junit", source)

    (suite,) = ElementTree.fromstring(done.stdout)
    outcomes = {case.get("name"): [child.tag for child in case] for case in suite}
    assert done.returncode == 1
    assert outcomes == {
        "lowestEfficiency": ["failure"],
        "highestWastedBytes": ["skipped"],
        "highestUserWastedPercent": ["failure"],
    }
    counts = [suite.get(name) for name in ("tests", "failures", "skipped", "errors")]
    assert counts == ["3", "2", "1", "0"]


def test_sarif_points_each_result_at_its_rule(command: Command, source: str) -> None:
    log = json.loads(command("image", "ci", "--format", "sarif", source).stdout)

    (run,) = log["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert log["version"] == "2.1.0"
    assert [result["ruleId"] for result in run["results"]] == [
        "lowestEfficiency",
        "highestUserWastedPercent",
    ]
    for result in run["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]


def test_github_gets_an_annotation_for_each_failure(
    command: Command, source: str
) -> None:
    lines = command("image", "ci", "--format", "github", source).stdout.splitlines()

    assert [line.partition("::")[2].partition("::")[0] for line in lines] == [
        "error title=snapfs lowestEfficiency",
        "error title=snapfs highestUserWastedPercent",
    ]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        pytest.param(["--config", "none"], 3, "no file 'none'", id="no-file"),
        pytest.param(["--config", "."], 2, "no text file", id="directory"),
        pytest.param(["--lowest-efficiency", "2"], 2, "from 0 to 1", id="ratio"),
        pytest.param(["--highest-wasted-bytes", "x"], 2, "like '20MB'", id="size"),
    ],
)
def test_mistakes_are_one_line(
    command: Command, source: str, words: list[str], code: int, says: str
) -> None:
    done = command("image", "ci", *words, source)

    assert (done.returncode, done.stderr.count("\n")) == (code, 1)
    assert says in done.stderr
