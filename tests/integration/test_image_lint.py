"""``snapfs image lint`` as a process, and its page."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from snapfs.inspect.lint import RULES
from support.applied_layers import entry
from support.command import Command
from support.sandbox import REPOSITORY
from support.unpack_images import layout_of

PAGE = REPOSITORY / "docs/lint.md"
# A name that tries to be a workflow command, and one that is no text.
HOSTILE = "x\n::error::100%\x1b[31m"
NO_TEXT = "\udcff"


@pytest.fixture
def source(tmp_path: Path, command: Command) -> str:
    command.environment["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    layer = [
        entry("home/app/.netrc", b"password s3cret"),
        entry(HOSTILE, b"", mode=0o666),
        entry(NO_TEXT, b"", mode=0o666),
        *(entry(f"open/{number}", b"", mode=0o666) for number in range(12)),
    ]
    return f"oci:{layout_of(tmp_path / 'image', layer)}"


def test_findings_are_grouped_by_rule_and_counted(
    command: Command, source: str
) -> None:
    done = command("image", "lint", source)
    lines = done.stdout.splitlines()

    assert (done.returncode, done.stderr) == (1, "")
    assert lines[:3] == [
        f"error: {RULES['stored-credentials'].summary} [stored-credentials]",
        "  /home/app/.netrc (layer 1): credentials",
        f"  fix: {RULES['stored-credentials'].fix}",
    ]
    assert "  and 4 more; --json lists all" in lines
    assert lines[-1].startswith("1 error, 15 warnings (")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        pytest.param(["--fail-on", "never"], 0, id="never"),
        pytest.param(["--ignore", "stored-credentials"], 0, id="only-warnings"),
        pytest.param(["--ignore", "stored-credentials:/home/*"], 0, id="by-path"),
        pytest.param(["--ignore", "stored-credentials:/srv/*"], 1, id="another-path"),
        pytest.param(
            ["--ignore", "stored-credentials", "--fail-on", "warning"], 1, id="bar"
        ),
        pytest.param(["--only", "world-writable"], 0, id="only-one-rule"),
        pytest.param(
            ["--only", "root-user", "--only", "stored-credentials"], 1, id="only-two"
        ),
        pytest.param(["--ignore", "root-usr"], 2, id="no-rule"),
        pytest.param(["--only", "root-usr"], 2, id="only-no-rule"),
    ],
)
def test_the_exit_code_is_that_of_what_was_asked_for(
    command: Command, source: str, words: list[str], code: int
) -> None:
    done = command("image", "lint", *words, source)

    assert done.returncode == code
    if code == 2:
        assert "did you mean 'root-user'?" in done.stderr


def test_every_form_survives_hostile_names(command: Command, source: str) -> None:
    forms = {
        form: command("image", "lint", "--format", form, source).stdout
        for form in ("json", "junit", "sarif", "github")
    }

    records = [json.loads(line) for line in forms["json"].splitlines()]
    paths = {record["path"] for record in records}
    assert {f"/{HOSTILE}", "/\\xff"} <= paths
    (suite,) = ElementTree.fromstring(forms["junit"])
    cases = {case.get("name"): list(case) for case in suite}
    assert set(cases) == set(RULES)
    (failure,) = cases["world-writable"]
    assert len((failure.text or "").splitlines()) == 14
    (run,) = json.loads(forms["sarif"])["runs"]
    uris = {
        result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        for result in run["results"]
    }
    assert {"home/app/.netrc", "x%0A%3A%3Aerror%3A%3A100%25%1B%5B31m", "%FF"} <= uris
    prints = [result["partialFingerprints"]["snapfs/v1"] for result in run["results"]]
    assert len(set(prints)) == len(prints) == len(records)
    annotations = forms["github"].splitlines()
    assert len(annotations) == len(records)
    assert all(re.match(r"::(error|warning|notice) title=", a) for a in annotations)


def test_the_page_has_a_section_for_each_rule() -> None:
    sections = re.findall(
        r"^## ([\w-]+)\n\n\*\*(\w+)\*\*: (.*)\.$", PAGE.read_text(), re.MULTILINE
    )

    told = [(rule.id, rule.severity.value, rule.summary) for rule in RULES.values()]
    assert sections == told
