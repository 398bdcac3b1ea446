"""The README's first example, run word by word: it prints what is written there."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

import pytest

from support.sandbox import REPOSITORY, Sandbox

pytestmark = pytest.mark.root

# How much a directory takes is the filesystem's affair.
SIZE: Final = re.compile(r"[\d.]+ [KM]?i?B\b")


def first_block(language: str) -> str:
    text = (REPOSITORY / "README.md").read_text()
    found = re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return found[1]


def steps(transcript: str) -> list[tuple[str, str]]:
    """Return each command with what the transcript says that it prints."""
    blocks = re.split(r"^\$ ", transcript, flags=re.MULTILINE)[1:]
    return [
        (command, shown) for command, _, shown in (b.partition("\n") for b in blocks)
    ]


def without_sizes(text: str) -> list[str]:
    return [" ".join(SIZE.sub("SIZE", line).split()) for line in text.splitlines()]


@pytest.fixture
def machine(sandbox: Sandbox) -> Sandbox:
    """A sandbox with snapfs installed, nothing in /mnt, and no store."""
    program = sandbox.home / "bin" / "snapfs"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\nPYTHONPATH={REPOSITORY} exec {sys.executable} -m snapfs "$@"\n'
    )
    program.chmod(0o755)
    for place in ("/mnt", "/var/lib"):
        sandbox.run("mount", "-t", "tmpfs", "tmpfs", place)
    etc = sandbox.home / "rootfs" / "etc"
    etc.mkdir(parents=True)
    (etc / "motd").write_text("Welcome\n")
    (etc / "issue").write_text("Debian\n")
    return sandbox


def run(machine: Sandbox, command: str) -> str:
    """Run a shell command as a user would; return all that appears."""
    script = f"cd {machine.home}; exec 2>&1; PATH={machine.home}/bin:$PATH; {command}"
    environment = {"SNAPFS_ROOT": "", "PYTHONIOENCODING": "utf-8"}
    return machine.run("sh", "-ec", script, env=environment)


def test_the_readme_shows_what_the_commands_print(machine: Sandbox) -> None:
    for command, shown in steps(first_block("console")):
        printed = run(machine, command)

        assert without_sizes(printed) == without_sizes(shown), command

    library = Path(machine.home, "example.py")
    library.write_text(first_block("python"))
    printed = machine.run(sys.executable, library, env={"PYTHONPATH": str(REPOSITORY)})
    assert printed.startswith("work [Mount(type='overlay'")
