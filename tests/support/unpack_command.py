"""``snapfs unpack`` as a process: caught in the middle, and what it left behind."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from support.applied_layers import entry
from support.command import DEFAULT_SIGINT, Command
from support.sandbox import wait_until
from support.trees import Entry, read_tree
from support.unpack_images import layout_of, staged_names


def is_whole(command: Command) -> bool:
    """Whether the store is in order, and nobody is at work in it."""
    return command.ok("check", "--json") == "" and staged_names(command.root) == []


def is_untouched(command: Command) -> bool:
    """Whether the store, if there is one, holds nothing at all."""
    if not command.root.exists():
        return True
    return command.ok("ls", "--json") == "" and is_whole(command)


def committed(command: Command) -> dict[str, tuple[str, dict[str, Entry]]]:
    """Return each snapshot's parent and content by name: all that unpacking made."""
    found = {}
    for line in command.ok("ls", "--json").splitlines():
        info = json.loads(line)
        content = Path(
            json.loads(command.ok("info", info["name"], "--json"))["directory"]
        )
        found[info["name"]] = (info["parent"], read_tree(content / "fs"))
    return found


def slow_layout(path: Path) -> Path:
    """Write an image that takes long enough to be caught in the middle."""
    many = [entry(f"{n:06}") for n in range(30_000)]
    return layout_of(path, [entry("a")], many)


def start_unpack(
    command: Command, source: str | Path, until: Callable[[], bool] | None = None
) -> subprocess.Popen[str]:
    """Start an unpack; return when it writes files, or ``until`` is true."""
    process = subprocess.Popen(
        [*DEFAULT_SIGINT, *command.words, "unpack", str(source)],
        env=command.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    def is_writing() -> bool:
        assert process.poll() is None, process.communicate()
        if until is not None:
            return until()
        return any(
            os.path.exists(name) for name in command.root.glob("staging/*/fs/000100")
        )

    try:
        wait_until(is_writing, "the unpack is at work")
    except BaseException:
        process.kill()
        process.communicate()
        raise
    return process
