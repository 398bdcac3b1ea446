"""The answers that are given without click: what click would have written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

from snapfs.cli import overview
from snapfs.cli.exit_codes import ExitCode
from snapfs.cli.program import cli, run
from support.sandbox import REPOSITORY


@pytest.mark.parametrize("width", range(60, 81))
def test_the_help_is_what_click_writes(width: int) -> None:
    context = click.Context(
        cli,
        info_name="snapfs",
        terminal_width=width,
        help_option_names=["-h", "--help"],
    )

    assert overview.overview(width) == cli.get_help(context) + "\n"


@pytest.mark.parametrize("word", ["-h", "--help", "--version"])
def test_the_program_answers_the_same(
    word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert overview.is_answered_here([word])
    assert overview.run([word], None) == ExitCode.DONE
    answered = capsys.readouterr()

    assert run([word], None) == ExitCode.DONE
    assert capsys.readouterr() == answered


@pytest.mark.parametrize(
    "words",
    [
        pytest.param((), id="nothing"),
        pytest.param(("ls", "--help"), id="help of a command"),
        pytest.param(("--json", "--help"), id="two options"),
        pytest.param(("--nonsense",), id="unknown option"),
    ],
)
def test_all_else_is_left_to_click(words: tuple[str, ...]) -> None:
    assert not overview.is_answered_here(words)


def test_a_narrow_terminal_is_left_to_click(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")

    assert not overview.is_answered_here(["--help"])


def test_completion_is_left_to_click(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_SNAPFS_COMPLETE", "bash_source")

    assert not overview.is_answered_here(["--help"])


@pytest.mark.parametrize("words", [("--help",), ("completion", "bash")])
def test_an_answer_that_cannot_be_written_is_an_error(words: tuple[str, ...]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "snapfs", *words],
            cwd=REPOSITORY,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert done.returncode == ExitCode.FAILED
    assert done.stderr == "snapfs: No space left on device\n"
