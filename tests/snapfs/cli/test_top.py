"""``top`` on a terminal: however it ends, the terminal is as it was."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
from pathlib import Path

import pytest

from support.command import DEFAULT_SIGINT, Command

ALTERNATE_SCREEN = b"\x1b[?1049h"
NORMAL_SCREEN = b"\x1b[?1049l"
SHOW_CURSOR = b"\x1b[?25h"


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(ALTERNATE_SCREEN, id="while the screen is switched"),
        pytest.param(b"work", id="while it waits"),
    ],
)
@pytest.mark.parametrize(
    ("number", "status"),
    [
        pytest.param(signal.SIGTERM, -signal.SIGTERM, id="SIGTERM"),
        pytest.param(signal.SIGINT, 130, id="SIGINT"),
    ],
)
def test_a_signal_leaves_the_terminal_as_it_was(
    tmp_path: Path, number: signal.Signals, status: int, moment: bytes
) -> None:
    command = Command(tmp_path / "root")
    command.ok("prepare", "work")
    ours, theirs = pty.openpty()

    with subprocess.Popen(
        [*DEFAULT_SIGINT, *command.words, "top", "--interval", "3600"],
        env={**command.environment, "TERM": "xterm-256color"},
        stdout=theirs,
        stderr=subprocess.DEVNULL,
    ) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # EIO: it has closed the terminal
            while chunk := os.read(ours, 65536):
                begins = moment not in shown
                shown += chunk
                if begins and moment in shown:
                    process.send_signal(number)
    os.close(ours)

    assert process.returncode == status
    _, _, end = shown.partition(ALTERNATE_SCREEN)
    assert NORMAL_SCREEN in end
    assert SHOW_CURSOR in end
