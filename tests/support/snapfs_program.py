"""The ``snapfs`` program as its users run it: a command and a service."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import Any, Final

import psutil

from support.sandbox import REPOSITORY, Sandbox, Service, wait_until

PROXY_NAME: Final = "snapfs"


class SnapfsProgram:
    """One store in a sandbox, and the service on it while it runs."""

    def __init__(self, sandbox: Sandbox, driver: str = "auto") -> None:
        self.sandbox = sandbox
        self.driver = driver
        self.root = sandbox.home / "snapfs"
        self.address = sandbox.home / "snapfs.sock"
        # Below the sandbox's home; another name, and blobs come over the socket.
        self.containerd_root = "containerd"
        self._service: Service | None = None

    @property
    def command(self) -> tuple[str | Path, ...]:
        program = (sys.executable, "-m", "snapfs", "--root", self.root)
        return (*program, "--driver", self.driver)

    def run(self, *arguments: str | Path) -> str:
        """Run ``snapfs ARGUMENTS`` on the store; return what it printed.

        Raises:
            CommandError: It failed.
        """
        return self.sandbox.run(*self.command, *arguments, env=ENVIRONMENT)

    def status_of(self, *arguments: str | Path) -> int:
        """Run ``snapfs ARGUMENTS`` on the store; return its exit status."""
        done = self.sandbox.try_run(*self.command, *arguments, env=ENVIRONMENT)
        return done.returncode

    def document(self, *arguments: str) -> Any:  # noqa: ANN401 - whatever JSON holds
        """Run ``snapfs --json ARGUMENTS``; return the document that it printed."""
        return json.loads(self.run("--json", *arguments))

    def records(self, *arguments: str) -> list[dict[str, Any]]:
        """Run ``snapfs --json ARGUMENTS``; return the objects, one a line."""
        return [
            json.loads(line) for line in self.run("--json", *arguments).splitlines()
        ]

    def serve(self, *words: str | Path) -> None:
        """Start the service and wait until it answers."""
        service = self.sandbox.spawn(
            *(*self.command, "serve", "--address", self.address),
            *("--containerd-address", self.sandbox.home / "containerd.sock"),
            *("--containerd-root", self.sandbox.home / self.containerd_root),
            *words,
            log=self.sandbox.home / "snapfs.log",
            env=ENVIRONMENT,
        )
        self._service = service
        wait_until(
            lambda: not service.is_running or self._answers(), "snapfs serve to answer"
        )
        assert service.is_running, service.log.read_text()

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            # The path leads to the same socket inside the sandbox and outside.
            return client.connect_ex(str(self.address)) == 0

    def process(self) -> psutil.Process:
        """Return the process of the service."""
        found: psutil.Process
        [found] = [
            process
            for process in psutil.process_iter()
            if _is_service(process, str(self.address))
        ]
        return found

    def kill(self) -> None:
        """End the service by ``kill -9``."""
        assert self._service is not None
        self._service.kill()

    def stop(self) -> None:
        """Ask the service to end."""
        assert self._service is not None
        self._service.stop()

    def containerd_toml(self, version: str, *words: str | Path) -> str:
        """Return what ``snapfs config containerd`` tells users to paste."""
        return self.run(
            *("config", "containerd", "--containerd-version", version),
            *("--address", self.address),
            *words,
        )

    def directories(self) -> list[str]:
        """Return the names of all snapshot directories and of all removed ones."""
        folders = [self.root / "snapshots", self.root / "trash"]
        return [path.name for folder in folders for path in folder.iterdir()]

    def is_empty(self) -> bool:
        """Whether nothing is left: no row and no directory."""
        # Who waits for it asks often: the question without a process comes first.
        return not self.directories() and not self.records("ls")


# `python -m snapfs` finds the package wherever the sandbox runs it.
ENVIRONMENT: Final = {"PYTHONPATH": str(REPOSITORY)}


def _is_service(process: psutil.Process, address: str) -> bool:
    try:
        words = process.cmdline()
    except psutil.Error:  # it has ended
        return False
    return "serve" in words and address in words and "nsenter" not in words[0]
