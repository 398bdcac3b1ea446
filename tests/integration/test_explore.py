"""``snapfs explore`` as a process on a terminal of its own."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import pytest

from support.command import Command
from support.mounted_images import write_layout

pytest.importorskip("textual", reason="the extra 'tui' is not installed")


def test_a_terminal_shows_the_image_until_q_is_pressed(
    command: Command, tmp_path: Path
) -> None:
    layout = write_layout(tmp_path / "layout")
    command.environment["XDG_CACHE_HOME"] = str(tmp_path / "cache")

    shown = command.explore(
        f"oci:{layout}", lambda shown: b"as of layer 3" in shown and b"big-too" in shown
    )

    assert b"\x1b[?1049l" in shown  # what was on the terminal is there again


@pytest.mark.parametrize("source", ["oci:/no/such", "nonsense"])
def test_a_wrong_source_is_one_line(command: Command, source: str) -> None:
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [*command.words, "explore", source],
        env={**command.environment, "TERM": "xterm-256color"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        check=False,
    )
    os.close(theirs)
    said = os.read(ours, 65536)
    os.close(ours)

    assert done.returncode == (3 if source.startswith("oci:") else 2)
    assert said.count(b"\n") == 1
