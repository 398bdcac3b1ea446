"""Ctrl-C at any moment: exit code 130, one line, no traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from snapfs.cli import main as main_module
from snapfs.cli.exit_codes import ExitCode
from support.command import DEFAULT_SIGINT
from support.sandbox import REPOSITORY

# Stands for a slow import: says that it has begun, and does not end.
SLOW_CLICK = """
import os, signal
os.write(1, b"importing")
while True:
    signal.pause()
"""

SLOW_END = """
import atexit, os, signal, sys
from snapfs.cli.main import main, run_process
def wait():
    os.write(1, b"ending")
    while True:
        signal.pause()
atexit.register(wait)
sys.argv = ["snapfs", "--version"]
"""


def interrupted(words: list[str], moment: bytes, *paths: str) -> tuple[int, str]:
    """Run a program and interrupt it once it has printed ``moment``."""
    with subprocess.Popen(
        [*DEFAULT_SIGINT, sys.executable, *words],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((*paths, str(REPOSITORY)))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        shown = b""
        while moment not in shown:
            chunk = os.read(process.stdout.fileno(), 4096)
            if not chunk:
                break
            shown += chunk
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
    assert moment in shown, errors
    return process.returncode, errors.decode()


def test_an_interrupt_while_the_program_is_imported(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text(SLOW_CLICK)

    ended = interrupted(["-m", "snapfs", "ls"], b"importing", str(tmp_path))

    assert ended == (ExitCode.INTERRUPTED, "snapfs: interrupted\n")


@pytest.mark.parametrize("end", ["sys.exit(main())", "run_process()"])
def test_an_interrupt_while_the_process_ends(end: str) -> None:
    ended = interrupted(["-c", SLOW_END + end], b"ending")

    assert ended == (ExitCode.INTERRUPTED, "snapfs: interrupted\n")


def test_an_interrupt_that_is_ignored_stays_ignored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    monkeypatch.setattr(sys, "argv", ["snapfs", "--version"])
    try:
        code = main_module.main()
        handler = signal.getsignal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)

    assert (code, handler) == (ExitCode.DONE, signal.SIG_IGN)


def test_a_call_with_arguments_leaves_the_handler_as_it_was() -> None:
    before = signal.getsignal(signal.SIGINT)

    assert main_module.main(["--version"]) == ExitCode.DONE

    assert signal.getsignal(signal.SIGINT) is before
