"""``docs/debugging.md`` and the README: commands print what is written there."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from support.command import Command
from support.example_images import write_examples
from support.sandbox import REPOSITORY

PAGE = (REPOSITORY / "docs/debugging.md").read_text()
QUESTIONS = PAGE.partition("## Ten questions")[2].partition("\n## ")[0]

# The exit codes that the page speaks of.
FAILS = ("image ci oci:shop",)

# How much a blob takes is zlib's affair, and there are several.
STORED = re.compile(r"(sha256:\w{12} +)[\d.]+ \w+")


def steps(text: str = QUESTIONS) -> list[tuple[str, str]]:
    """Return each command with what the text says that it prints."""
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    found = []
    for block in blocks:
        for step in re.split(r"^\$ snapfs ", block, flags=re.MULTILINE)[1:]:
            command, _, printed = step.partition("\n")
            found.append((command, printed))
    return found


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("examples")
    write_examples(place)
    return place


def test_there_are_ten_questions_with_one_command_each() -> None:
    titles = re.findall(r"^### (\d+)\. .*\?$", QUESTIONS, re.MULTILINE)

    assert titles == [str(number) for number in range(1, 11)]
    assert len(steps()) == 10


# Of the README those on images; it says what a pipe leaves of the output.
README = [
    (text, printed)
    for text, printed in steps((REPOSITORY / "README.md").read_text())
    if "oci:shop" in text
]


def test_the_readme_shows_what_the_commands_print(
    command: Command, examples: Path
) -> None:
    command.environment["XDG_CACHE_HOME"] = str(examples / "cache")
    program = shlex.join(command.words)

    for text, printed in README:
        done = subprocess.run(
            ["sh", "-c", f"{program} {text}"],
            cwd=examples,
            env=command.environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert (done.stdout, done.stderr) == (printed, "")

    assert len(README) == 3


@pytest.mark.parametrize(
    ("text", "printed"), [pytest.param(*step, id=step[0]) for step in steps()]
)
def test_each_command_prints_what_the_page_says(
    command: Command,
    examples: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    printed: str,
) -> None:
    command.environment["XDG_CACHE_HOME"] = str(examples / "cache")
    monkeypatch.chdir(examples)

    done = command(*shlex.split(text))

    assert done.returncode == (1 if text in FAILS else 0), done.stderr
    assert STORED.sub(r"\1SIZE", done.stdout) == STORED.sub(r"\1SIZE", printed)
