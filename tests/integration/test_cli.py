"""The command as a process: what it loads, how it ends, what it prints where."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from support.command import DEFAULT_SIGINT, Command

HEAVY: Final = ("grpc", "sqlite3", "rich", "psutil", "json", "logging", "tomllib")
# What a store needs only while it serves, filters, limits or removes.
OF_A_SERVICE: Final = ("re2", "concurrent.futures", "socket", "rich", "tomllib")


def loaded_modules(command: Command, *words: str) -> set[str]:
    """Return the modules that a command has loaded when it is done."""
    code = (
        "import sys; from snapfs.cli.main import main; main(sys.argv[1:]);"
        "print(*sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        env=command.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stderr.split())


def test_a_short_command_loads_nothing_of_a_service(command: Command) -> None:
    root = ("--root", str(command.root))
    command.ok("prepare", "work")

    loaded = loaded_modules(command, *root, "mounts", "work")

    assert "snapfs.manager.core" in loaded
    assert loaded.isdisjoint(OF_A_SERVICE)


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_help_and_version_load_nothing_heavy(command: Command, word: str) -> None:
    loaded = loaded_modules(command, word)

    assert "snapfs.cli.main" in loaded
    assert loaded.isdisjoint(HEAVY)
    assert "snapfs.assembly" not in loaded


def test_a_whole_life_of_snapshots(command: Command) -> None:
    command.ok("prepare", "work")
    directory = json.loads(command.ok("info", "work", "--json"))["directory"]
    Path(directory, "fs", "file").write_text("hello")
    command.ok("commit", "base", "work", "-l", "team=blue")
    command.ok("prepare", "top", "base")

    records = [json.loads(line) for line in command.ok("ls", "--json").splitlines()]
    assert [(r["name"], r["parent"], r["kind"]) for r in records] == [
        ("base", "", "committed"),
        ("top", "base", "active"),
    ]
    assert command.ok("tree") == "base (committed)\n└── top (active)\n"
    assert json.loads(command.ok("usage", "base", "--json"))["inodes"] == 2
    assert command.ok("check") == ""

    command.ok("rm", "base", "top")
    command.ok("cleanup")
    assert os.listdir(command.root / "snapshots") == []
    assert os.listdir(command.root / "trash") == []


@pytest.mark.parametrize(
    ("words", "code"),
    [
        pytest.param(("ls", "-f", "=="), 2, id="bad filter"),
        pytest.param(("info", "nothing"), 3, id="unknown key"),
        pytest.param(("prepare", "base"), 4, id="taken key"),
        pytest.param(("rm", "base"), 5, id="a parent with children"),
        pytest.param(("mounts", "base"), 5, id="mounts of a committed snapshot"),
        pytest.param(("prepare", "x", "top"), 2, id="parent not committed"),
        pytest.param(("stats", "/proc"), 6, id="no statistics"),
    ],
)
def test_each_mistake_is_one_line_and_its_exit_code(
    command: Command, words: tuple[str, ...], code: int
) -> None:
    command.ok("prepare", "work")
    command.ok("commit", "base", "work")
    command.ok("prepare", "top", "base")
    before = command.ok("ls", "--json")

    done = command(*words)

    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("snapfs: ")
    assert done.stderr.count("\n") == 1
    assert command.ok("ls", "--json") == before


def test_a_damaged_database_is_exit_code_7(command: Command) -> None:
    command.ok("prepare", "work")
    for path in command.root.glob("metadata.db*"):
        path.write_bytes(b"\xff" * 8192)

    done = command("ls")

    assert done.returncode == 7, done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


def test_a_lost_directory_is_found_by_check(command: Command) -> None:
    command.ok("prepare", "work")
    directory = Path(json.loads(command.ok("info", "work", "--json"))["directory"])
    directory.rename(command.root / "elsewhere")

    done = command("check", "--json")

    assert done.returncode == 7, done.stderr
    assert "error" in {
        json.loads(line)["severity"] for line in done.stdout.splitlines()
    }


def test_the_reader_of_a_pipe_may_go_away(command: Command) -> None:
    command.ok("prepare", "work")
    reader, writer = os.pipe()
    os.close(reader)

    done = subprocess.run(
        [*command.words, "ls", "--json"],
        env=command.environment,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )

    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


def test_an_interrupt_ends_a_command_with_exit_code_130(command: Command) -> None:
    command.ok("prepare", "work")
    ours, theirs = pty.openpty()

    with subprocess.Popen(
        [*DEFAULT_SIGINT, *command.words, "top", "--interval", "3600"],
        env={**command.environment, "TERM": "xterm"},
        stdout=theirs,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.close(theirs)
        os.read(ours, 1)  # it has begun to draw
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()

    os.close(ours)
    assert process.returncode == 130
    assert errors.strip() == "snapfs: interrupted"


def test_colour_is_for_terminals_that_want_it(command: Command) -> None:
    command.ok("prepare", "[red]work[/red]")

    coloured = command.on_a_terminal("ls")
    command.environment["NO_COLOR"] = "1"
    plain = command.on_a_terminal("ls")

    assert "[red]work[/red]" in coloured
    assert "[red]work[/red]" in plain
    assert "\x1b[" in coloured
    assert "\x1b[3" not in plain


def test_keys_are_completed(command: Command) -> None:
    command.ok("prepare", "work")
    command.ok("prepare", "other")
    command.environment |= {
        "_SNAPFS_COMPLETE": "bash_complete",
        "COMP_WORDS": f"snapfs --root {command.root} info w",
        "COMP_CWORD": "4",
    }

    done = command()

    assert done.stdout == "plain,work\n"


def test_completion_of_keys_never_complains(command: Command, tmp_path: Path) -> None:
    (tmp_path / "root").write_text("no directory")
    command.environment |= {
        "_SNAPFS_COMPLETE": "bash_complete",
        "COMP_WORDS": f"snapfs --root {command.root} info w",
        "COMP_CWORD": "4",
    }

    done = command()

    assert (done.stdout.strip(), done.stderr) == ("", "")


def test_a_store_survives_backup_and_restore(command: Command, tmp_path: Path) -> None:
    command.ok("prepare", "work")
    command.ok("commit", "base", "work", "-l", "team=blue")
    before = command.ok("ls", "--json").replace(str(command.root), "ROOT")
    copy = Command(tmp_path / "copy")

    command.ok("backup", tmp_path / "b.tar")
    copy.ok("restore", tmp_path / "b.tar")

    assert copy.ok("check") == ""
    assert copy.ok("ls", "--json").replace(str(copy.root), "ROOT") == before
    copy.ok("prepare", "more", "base")
    assert copy.ok("check") == ""
