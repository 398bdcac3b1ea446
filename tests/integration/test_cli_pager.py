"""Long output on a terminal: the user's pager, and when there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.applied_layers import entry
from support.command import Command
from support.unpack_images import layout_of

MARKED = "sed s/^/paged:/"


@pytest.fixture
def source(tmp_path: Path, command: Command) -> str:
    command.environment["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    command.environment["PAGER"] = MARKED
    files = [entry(f"file-{number:03}", b"") for number in range(300)]
    return f"oci:{layout_of(tmp_path / 'image', files)}"


def test_a_terminal_gets_the_output_through_the_pager(
    command: Command, source: str
) -> None:
    shown = command.on_a_terminal("image", "ls", source).splitlines()

    assert shown == [f"paged:file-{number:03}" for number in range(300)]


def test_tables_keep_their_form_behind_the_pager(command: Command, source: str) -> None:
    shown = command.on_a_terminal("image", "ls", "-l", source)

    # Bold, as rich draws titles on a terminal alone.
    assert shown.startswith("paged:\x1b[1m")
    assert len(shown.splitlines()) == 301


@pytest.mark.parametrize(
    "pager", ["", "cat", "/no/such/program", "no-such-program --option"]
)
def test_without_a_pager_the_output_is_as_it_is(
    command: Command, source: str, pager: str
) -> None:
    command.environment["PAGER"] = pager

    shown = command.on_a_terminal("image", "ls", source).splitlines()

    assert len(shown) == 300
    assert shown[0] == "file-000"


def test_nothing_is_paged_on_demand_or_where_nobody_looks(
    command: Command, source: str
) -> None:
    on_demand = command.on_a_terminal("image", "--no-pager", "ls", source)
    piped = command.ok("image", "ls", source)
    contents = command.on_a_terminal("image", "cat", source, "/file-000")

    assert "paged:" not in on_demand
    assert "paged:" not in piped
    assert contents == ""


def test_who_leaves_the_pager_early_ends_the_command(
    command: Command, source: str, tmp_path: Path
) -> None:
    program = tmp_path / "leave"
    program.write_text("#!/bin/sh\nread first; echo saw $first\n")
    program.chmod(0o755)
    command.environment["PAGER"] = str(program)

    shown = command.on_a_terminal("image", "find", "--json", source, code=None)

    assert shown.startswith("saw {")
    assert len(shown.splitlines()) == 1


def test_an_error_is_told_after_the_pager(command: Command, source: str) -> None:
    shown = command.on_a_terminal("image", "ls", source, "/never", code=3)

    assert shown == ""


def test_a_narrow_terminal_cuts_no_number(command: Command, tmp_path: Path) -> None:
    big = entry(
        "directory-with-a-long-name/[red]", b"x" * 123_456, owner=(54321, 98765)
    )
    source = f"oci:{layout_of(tmp_path / 'big', [big])}"
    command.environment |= {"PAGER": "cat", "COLUMNS": "20"}

    shown = command.on_a_terminal("image", "find", "-l", source)

    for text in ("123456", "54321", "98765"):
        assert text in shown
    # Names fold, and are no markup.
    name = "".join(line.split()[-1] for line in shown.splitlines() if line.split())
    assert name.endswith("/directory-with-a-long-name/[red]"), shown
