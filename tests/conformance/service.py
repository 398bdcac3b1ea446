"""``snapfs serve`` in a process of its own."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

# Both are far above what a loaded machine needs: they end a test that hangs.
READY_TIMEOUT_S: Final = 120.0
STOP_TIMEOUT_S: Final = 60.0

# The time between two looks at the socket.
POLL_S: Final = 0.005


class Service:
    """One service on one store."""

    def __init__(self, directory: Path, driver: str) -> None:
        self.root = directory / "store"
        self.address = directory / "s.sock"
        self._driver = driver
        self._log = directory / "serve.log"
        self._process = self._start()

    def restart(self) -> None:
        """Stop the service as systemd does, and start it again."""
        self._terminate()
        self._process = self._start()

    def stop(self) -> None:
        """Stop the service and check its store from the command line.

        Raises:
            AssertionError: Either exits with another status than 0.
        """
        self._terminate()
        checked = subprocess.run(
            self._command("check"), capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, f"check: {checked.stdout}{checked.stderr}"

    def kill(self) -> None:
        """End the process, whatever state it is in."""
        self._process.kill()
        self._process.wait()

    def _command(self, *words: str) -> list[str]:
        options = ["--root", str(self.root), "--driver", self._driver]
        return [sys.executable, "-m", "snapfs", *options, *words]

    def _start(self) -> subprocess.Popen[bytes]:
        command = self._command("serve", "--address", str(self.address))
        with self._log.open("ab") as log, contextlib.ExitStack() as undo:
            process = subprocess.Popen(command, stdout=log, stderr=log)
            undo.callback(process.wait)
            undo.callback(process.kill)
            self._wait_until_it_listens(process)
            undo.pop_all()
        return process

    def _wait_until_it_listens(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while True:
            with socket.socket(socket.AF_UNIX) as probe:
                if probe.connect_ex(str(self.address)) == 0:
                    return
            status = process.poll()
            assert status is None, self._complaint(f"ended with {status}")
            assert time.monotonic() < deadline, self._complaint("does not listen")
            time.sleep(POLL_S)

    def _terminate(self) -> None:
        self._process.terminate()
        try:
            status = self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            status = None
        assert status == 0, self._complaint(f"ended with {status} after SIGTERM")

    def _complaint(self, problem: str) -> str:
        return f"serve {problem}:\n{self._log.read_text(errors='replace')}"
