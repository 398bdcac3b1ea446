"""A gRPC server as a process: started until it answers, stopped for certain."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import psutil

# What an HTTP/2 client says first, with empty settings; the server then sends its
# own settings before anything else (RFC 9113, section 3.4).
_CLIENT_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"

# Both are far above what a loaded machine needs: they end a run that hangs.
_READY_TIMEOUT_S: Final = 120.0
_STOP_TIMEOUT_S: Final = 60.0

# Between two looks for the socket; start-up is measured with this grain.
_POLL_S: Final = 0.001

_LOG_TAIL: Final = 2000


class ServerError(Exception):
    """A server did not start or did not end as it should; has the end of its log."""


def wait_for_answer(address: Path, check: Callable[[], None] = lambda: None) -> bool:
    """Wait until somebody speaks HTTP/2 on ``address``; tell whether it came to that.

    ``check`` is called between the attempts, and may end the waiting by an error.
    """
    deadline = time.monotonic() + _READY_TIMEOUT_S
    while not _answers(address):
        check()
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _answers(address: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(_READY_TIMEOUT_S)
        # unix(7) allows 107 bytes, and a store may lie deeper.
        parent = os.open(address.parent, os.O_PATH | os.O_CLOEXEC)
        try:
            client.connect(f"/proc/self/fd/{parent}/{address.name}")
            client.sendall(_CLIENT_PREFACE)
            return bool(client.recv(1))
        except (FileNotFoundError, ConnectionError):
            return False
        finally:
            os.close(parent)


class ServerProcess:
    """The process that ``command`` starts, serving on ``address``.

    Args:
        command: The program and its arguments.
        address: The path of the unix socket on which it will listen.
        log: The file that takes its output.
    """

    def __init__(self, command: Sequence[str], address: Path, log: Path) -> None:
        self._command = list(command)
        self._address = address
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; on return it speaks HTTP/2 on its socket.

        Raises:
            ServerError: It ended, or did not answer; no process is left then.
        """
        assert self._process is None, "started already"
        # A socket that a killed predecessor left would not answer, but confuse.
        self._address.unlink(missing_ok=True)
        with self._log.open("ab") as log, contextlib.ExitStack() as undo:
            process = subprocess.Popen(  # noqa: S603 - a target's own program
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
            undo.callback(process.wait)
            undo.callback(process.kill)
            self._wait_until_it_answers(process)
            undo.pop_all()
        self._process = process

    def stop(self) -> None:
        """End it with SIGTERM; a second call does nothing.

        Raises:
            ServerError: It ended with a status other than 0, or ignored the signal
                and was killed.
        """
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            status = process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise ServerError(self._complaint("ignored SIGTERM")) from None
        if status != 0:
            raise ServerError(self._complaint(f"ended with status {status}"))

    def pids(self) -> list[int]:
        """Return the process and its descendants, as they are now."""
        if self._process is None:
            return []
        try:
            children = psutil.Process(self._process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        return [self._process.pid, *(child.pid for child in children)]

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        def check() -> None:
            if (status := process.poll()) is not None:
                raise ServerError(self._complaint(f"ended with status {status}"))

        if not wait_for_answer(self._address, check):
            raise ServerError(self._complaint("did not answer"))

    def _complaint(self, problem: str) -> str:
        tail = self._log.read_text(errors="replace").strip()[-_LOG_TAIL:]
        return (
            f"{Path(self._command[0]).name} {problem}: {tail or 'it printed nothing'}"
        )
