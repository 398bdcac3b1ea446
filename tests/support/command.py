"""``snapfs`` as a process: a command that ends, and a service while it runs."""

from __future__ import annotations

import fcntl
import os
import pty
import socket
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from support.sandbox import REPOSITORY

# Only so that a service that never starts fails its test.
READY_TIMEOUT_S: Final = 60

# A shell starts background jobs with SIGINT ignored, nohup(1) all with SIGHUP, which
# exec hands on and Python leaves as it is: a test that interrupts must not depend on
# how it was started.
DEFAULT_SIGINT: Final = ("env", "--default-signal=INT,HUP")


class Command:
    """``snapfs`` on a root of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.words = [sys.executable, "-m", "snapfs", "--root", str(root)]
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONIOENCODING": "utf-8",
        }

    def __call__(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.words, *map(str, words)],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def by(self, driver: str) -> Command:
        """Use a driver from now on; return the command itself."""
        self.words += ["--driver", driver]
        return self

    def ok(self, *words: str | Path) -> str:
        done = self(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def on_a_terminal(self, *words: str | Path, code: int | None = 0) -> str:
        """Run with a terminal for standard output; return what appears on it.

        ``code`` is the exit code that it must have; None for any.
        """
        ours, theirs = pty.openpty()
        with subprocess.Popen(
            [*self.words, *map(str, words)],
            env={**self.environment, "TERM": "xterm-256color"},
            stdout=theirs,
            stderr=subprocess.DEVNULL,
        ) as process:
            os.close(theirs)
            shown = b""
            try:
                while chunk := os.read(ours, 65536):
                    shown += chunk
            except OSError:
                pass  # EIO: the last process has closed the terminal
            finally:
                os.close(ours)
        assert code is None or process.returncode == code
        return shown.decode()

    def explore(self, source: str, is_shown: Callable[[bytes], bool]) -> bytes:
        """Explore on a terminal, and press q once it shows what ``is_shown`` wants.

        Returns all that appeared.
        """
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
        with subprocess.Popen(
            [*DEFAULT_SIGINT, *self.words, "explore", source],
            env={**self.environment, "TERM": "xterm-256color"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        ) as process:
            os.close(theirs)
            shown = b""
            try:
                while not is_shown(shown):
                    shown += os.read(ours, 65536)
                os.write(ours, b"q")
                while chunk := os.read(ours, 65536):
                    shown += chunk
            except OSError:
                pass  # EIO: the program has closed the terminal
            finally:
                os.close(ours)
        assert process.returncode == 0, shown
        return shown


@contextmanager
def serving(command: Command, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the service; begin once it says that it is ready, as systemd would.

    containerd's socket is ``c.sock`` beside the root, the log is ``log``.
    """
    place = command.root.parent / "notify"
    log = command.root.parent / "log"
    with (
        log.open("w") as errors,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear,
    ):
        ear.bind(str(place))
        ear.settimeout(READY_TIMEOUT_S)
        process = subprocess.Popen(
            [*command.words, "serve", "--address", f"{place.parent}/c.sock", *words],
            env={**command.environment, "NOTIFY_SOCKET": str(place)},
            stderr=errors,
        )
        try:
            assert b"READY=1" in ear.recv(4096)
            yield process
        finally:
            process.kill()
            process.wait()
            place.unlink()
