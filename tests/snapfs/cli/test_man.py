"""The manual pages: one for each command, with all that its help has."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from snapfs.cli.exit_codes import ExitCode
from snapfs.cli.man_pages import pages
from snapfs.cli.program import cli


def contexts(ctx: click.Context) -> Iterator[click.Context]:
    """Yield a command and all below it."""
    yield ctx
    if isinstance(ctx.command, click.Group):
        for name in ctx.command.list_commands(ctx):
            command = ctx.command.get_command(ctx, name)
            assert command is not None
            yield from contexts(click.Context(command, info_name=name, parent=ctx))


COMMANDS = {
    ctx.command_path.replace(" ", "-"): ctx
    for ctx in contexts(click.Context(cli, info_name="snapfs", **cli.context_settings))
    if not ctx.command.hidden
}
PAGES = {page.name: page.text for page in pages(cli, "snapfs")}


def words(text: str) -> str:
    """Return all words of a text, in one line."""
    return " ".join(text.replace("\b", " ").split())


def rendered(text: str) -> str:
    """Return a page as a reader sees it, in one line.

    Raises:
        AssertionError: The formatter has something to complain of.
    """
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-P-c", "-rLL=200n", "-dAD=l"],
        input=text,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    plain = re.sub(r".\x08|\x1b\[[\d;]*m", "", done.stdout)
    return words(plain.replace("\u2212", "-").replace("\u2010", "-"))


def test_every_command_has_a_page() -> None:
    assert set(PAGES) == set(COMMANDS)


@pytest.mark.skipif(not shutil.which("groff"), reason="needs groff")
def test_every_page_shows_all_that_the_help_has() -> None:
    # In one run: a formatter takes a while to start.
    shown = rendered("".join(PAGES.values()))

    for ctx in COMMANDS.values():
        command = ctx.command
        for paragraph in re.split(r"\n\s*\n", command.help or ""):
            assert words(paragraph) in shown, ctx.command_path
        for line in (command.epilog or "").replace("\b", "").split("\n")[2:]:
            assert words(line) in shown, ctx.command_path
        for parameter in command.get_params(ctx):
            if isinstance(parameter, click.Option):
                record = parameter.get_help_record(ctx)
                for text in record or ():
                    assert words(text) in shown, ctx.command_path
    for code in ExitCode:
        assert f" {code.value} " in shown


@pytest.mark.skipif(not shutil.which("groff"), reason="needs groff")
def test_a_page_is_laid_out_as_readers_expect() -> None:
    shown = rendered(PAGES["snapfs-image-diff"])

    headings = ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "SEE ALSO"]
    places = [shown.index(f" {heading} ") for heading in headings]
    assert places == sorted(places)
    assert "snapfs-image-diff - Tell what differs between two images SYN" in shown
    assert "snapfs image diff [OPTIONS] A B DESCRIPTION" in shown
    assert "SEE ALSO snapfs-image(1)" in shown


def test_names_on_the_page_cannot_be_requests() -> None:
    @click.command(help="A line.\n\n.so /etc/passwd\n\n'br \\fB", epilog="\b\nE:\n  .x")
    @click.option("--a", help=".de")
    def hostile(a: str) -> None:
        del a

    (page,) = pages(hostile, "hostile")

    assert "\n.so" not in page.text
    assert "\n.de" not in page.text
    assert "\n.x" not in page.text
    assert "\n'" not in page.text
    assert "\\eFB" not in page.text
    assert "\\efB" in page.text


def test_all_pages_are_written_or_one_is_printed(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from snapfs.cli.main import main

    def run(*arguments: str) -> tuple[int, str, str]:
        with CliRunner().isolation() as streams:
            code = main(["--root", str(tmp_path / "root"), "man", *arguments])
            out, err = (stream.getvalue().decode() for stream in streams[:2])
        return code, out, err

    assert run("--output", str(tmp_path / "man1"))[0] == 0
    written = {path.name: path.read_text() for path in (tmp_path / "man1").iterdir()}
    assert written == {f"{name}.1": text for name, text in PAGES.items()}
    assert run("image", "ls") == (0, PAGES["snapfs-image-ls"], "")
    assert run() == (0, PAGES["snapfs"], "")
    code, _, error = run("imagels")
    assert (code, error.count("\n")) == (3, 1)
    assert "did you mean 'image ls'" in error
    assert run("ls", "-o", str(tmp_path))[0] == 2
