"""What the start of a program costs, in exact counts: modules loaded, processes begun.

The time of a start is nearly all loading of modules, of which each costs about a
hundredth of what the interpreter itself takes to start. The limits leave room for a few
modules of other versions of Python and of what is installed.
"""

from __future__ import annotations

import json
import os
import site
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from support.command import Command
from support.image_files import pure_layout_files, write_directory
from support.sandbox import REPOSITORY

# Without "site", whose path files load modules of whoever installed something.
COUNTING: Final = """
import sys
sys.path[:0], given = [{repository!r}], set(sys.modules)
sys.path += {sites!r}
begun, begin = [], {events!r}
sys.addaudithook(lambda event, _: begun.append(event) if event in begin else None)
from {module} import main
code = main({words!r})
loaded = sorted(set(sys.modules) - given)
import json
print(json.dumps([code, loaded, begun]), file=sys.stderr)
"""
EVENTS: Final = (
    *("os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.system"),
    "subprocess.Popen",
)


# With room for a few of other versions of Python, and for little of ours.
MOST_OF_A_MOUNT: Final = 70
MOST_OTHERS_OF_A_MOUNT: Final = 37
MOST_OF_AN_IMAGE: Final = 95
MOST_OTHERS_OF_AN_IMAGE: Final = 97


class Start(NamedTuple):
    """What a program has done when it is done."""

    ours: list[str]
    others: list[str]
    begun: list[str]


def started(command: Command, *words: str) -> Start:
    """Run ``snapfs`` and count."""
    program = COUNTING.format(
        repository=str(REPOSITORY),
        sites=site.getsitepackages(),
        events=EVENTS,
        module="snapfs.cli.main",
        words=["--root", str(command.root), *words] if len(words) > 1 else [*words],
    )
    done = subprocess.run(
        [sys.executable, "-ISc", program],
        env={
            name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ
        },
        capture_output=True,
        text=True,
        check=True,
    )
    code, loaded, begun = json.loads(done.stderr.splitlines()[-1])
    assert code == 0, done.stderr
    ours = [name for name in loaded if name.partition(".")[0] == "snapfs"]
    return Start(ours, [name for name in loaded if name not in ours], begun)


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_help_and_version_load_a_few_modules(command: Command, word: str) -> None:
    start = started(command, word)

    assert start.ours == [
        *("snapfs", "snapfs.cli", "snapfs.cli.catalog", "snapfs.cli.main"),
        *("snapfs.cli.overview", "snapfs.light_typing"),
    ]
    assert len(start.others) <= 30
    assert {"click", "re", "typing"}.isdisjoint(start.others)
    assert start.begun == []


@pytest.mark.root
def test_a_mount_by_the_kernel_loads_what_it_needs(
    command: Command, target: Path
) -> None:
    command.ok("prepare", "work")
    command.ok("commit", "base", "work")
    command.ok("prepare", "top", "base")

    start = started(command, "--driver", "kernel", "mount", "top", str(target))

    assert len(start.ours) <= MOST_OF_A_MOUNT
    assert len(start.others) <= MOST_OTHERS_OF_A_MOUNT
    assert {
        "click",
        "dataclasses",
        "datetime",
        "inspect",
        "json",
        "msgspec",
        "re",
        "shutil",
        "tempfile",
        "typing",
        "uuid",
    }.isdisjoint(start.others)
    assert start.begun == []


@pytest.mark.root
def test_a_mount_of_an_unpacked_image_loads_little_more(
    command: Command, target: Path, tmp_path: Path
) -> None:
    image = write_directory(tmp_path / "image", pure_layout_files(tmp_path))
    command.ok("unpack", f"oci:{image}")

    start = started(command, "--driver", "kernel", "mount", f"oci:{image}", str(target))

    assert len(start.ours) <= MOST_OF_AN_IMAGE
    assert len(start.others) <= MOST_OTHERS_OF_AN_IMAGE
    assert {"click", "dataclasses", "pathlib", "ssl"}.isdisjoint(start.others)
    assert start.begun == []
