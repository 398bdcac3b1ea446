"""The owner's side: a worker that is started when it is first needed."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Sequence

from snapfs.errors import UnavailableError
from snapfs.light_typing import IO, TYPE_CHECKING, Any
from snapfs.model import Usage

if TYPE_CHECKING:
    import subprocess

    from snapfs.worker.removal import Removal


class WorkerProcess:
    """One worker process, one request at a time; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._closed = False

    def measure(self, path: str) -> Usage:
        """Return the usage of the tree ``path``; nothing if it is not there.

        Raises:
            OSError: Something in it cannot be read.
            UnavailableError: The process died, or :meth:`close` was called.
        """
        answer = self._request("measure", path)
        return Usage(answer["size_bytes"], answer["inodes"])

    def remove(
        self, directory: str, names: Sequence[str], *, measured: bool
    ) -> list[Removal]:
        """As :func:`snapfs.worker.remove_trees`; the errors hold absolute paths.

        One request: whoever has many names asks in batches, for the answer comes when
        all of them are done.

        Raises:
            OSError: ``directory`` cannot be opened.
            UnavailableError: The process died, or :meth:`close` was called.
        """
        answer = self._request("remove", directory, names=names, measured=measured)
        return [_removal(directory, *fields) for fields in answer["removals"]]

    def close(self) -> None:
        """End the process for good, in the middle of a request if need be."""
        self._closed = True
        process = self._process
        if process is not None:
            process.kill()  # not under the lock: a request holds it
        with self._lock:
            self._reap()

    def _request(self, operation: str, path: str, **more: object) -> dict[str, Any]:
        import json  # here and below: most commands start no worker

        line = json.dumps({"op": operation, "path": path, **more})
        with self._lock:
            # The second time with a fresh process: the first may have been killed.
            answer = self._ask(line) or ("" if self._closed else self._ask(line))
        if not answer:
            why = "is closed" if self._closed else "died"
            raise UnavailableError(f"the worker process {why}: {operation} in {path}")
        result: dict[str, Any] = json.loads(answer)
        if "error" in result:
            raise OSError(result["errno"], result["error"], path)
        return result

    def _ask(self, line: str) -> str:
        """Return the whole answer; "" after the process has ended, and is reaped."""
        if self._process is None:
            import subprocess

            self._process = subprocess.Popen(
                [sys.executable, "-m", "snapfs.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd="/",
                start_new_session=True,  # Ctrl-C is for the owner to handle
            )
        answer = ""
        stdin, stdout = _pipes(self._process)
        try:
            # close() sets the flag before it looks for a process to kill: one of
            # the two sees the other.
            if not self._closed:
                stdin.write(line + "\n")
                stdin.flush()
                answer = stdout.readline()
        except BrokenPipeError:
            answer = ""  # it has ended
        finally:
            # Cut short, or interrupted: the next request must not read this answer.
            if not answer.endswith("\n"):
                self._reap()
                answer = ""
        return answer

    def _reap(self) -> None:
        if self._process is None:
            return
        self._process.kill()  # its end of the pipe closes before it can be waited for
        stdin, stdout = _pipes(self._process)
        with contextlib.suppress(BrokenPipeError):  # what it did not read is lost
            stdin.close()
        stdout.close()
        self._process.wait()
        self._process = None


def _removal(
    directory: str, size_bytes: int, inodes: int, number: int, text: str, path: str
) -> Removal:
    error = OSError(number, text, os.path.join(directory, path)) if number else None
    from snapfs.worker.removal import Removal  # here, too: most remove nothing

    return Removal(Usage(size_bytes, inodes), error)


def _pipes(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout
