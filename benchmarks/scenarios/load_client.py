"""Who makes the calls of the snapshot scenarios, and times each of them.

The one that counts is containerd's own client, in Go, in a process of its own: the
same for every server. Where it cannot be built, this project's Python client makes
the calls; then every time holds that client's cost, and the cells say so.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from snapfs.benchmarks.protocols import InvalidResultError
from snapfs.benchmarks.scenarios.python_client import PythonClient
from snapfs.benchmarks.scenarios.snapshot_calls import Answer, Call
from snapfs.benchmarks.targets.go_programs import LOAD
from snapfs.closing import Closing

# Long enough for what goes wrong to be printed, short enough not to hang a run.
_END_TIMEOUT_S: Final = 30.0


class LoadClient(Protocol):
    """Makes sequences of calls on one server."""

    def run(self, calls: Sequence[Call], *, want: bool = False) -> Answer:
        """Make the calls, one after the other; return the time of each.

        With ``want`` the answer holds what they returned, too.

        Raises:
            InvalidResultError: A call failed; those after it were not made.
        """
        ...

    def processes(self) -> Sequence[int]:
        """Return the processes in which it runs, without the calling one."""
        ...

    def close(self) -> None:
        """End it; a second call does nothing."""
        ...


def client_parameters() -> Mapping[str, str]:
    """Return what a cell must say of the client: nothing, if it is containerd's."""
    return {"client": "python"} if LOAD.unavailable() else {}


def connect_load(address: str) -> LoadClient:
    """Return a client of the server on ``address``: containerd's, where it runs."""
    return PythonClient(address) if LOAD.unavailable() else GoClient(address)


class _Batch(msgspec.Struct, omit_defaults=True):
    calls: Sequence[Call]
    want: bool = False


class _Failure(msgspec.Struct):
    index: int
    code: str
    message: str


class _Reply(msgspec.Struct):
    ns: list[int]
    results: list[Any] = []
    failure: _Failure | None = None


class GoClient(Closing):
    """containerd's proxy client, in a Go process that is driven over a pipe."""

    def __init__(self, address: str) -> None:
        program: Path = LOAD.build()
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [str(program), address], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder(_Reply)

    def run(self, calls: Sequence[Call], *, want: bool = False) -> Answer:
        """See :meth:`LoadClient.run`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = self._encoder.encode(_Batch(calls, want)) + b"\n"
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
            answered = self._process.stdout.readline()
        except BrokenPipeError:
            answered = b""
        if not answered:
            raise InvalidResultError("the load client ended; see its words above")
        reply = self._decoder.decode(answered)
        if reply.failure is not None:
            call = calls[reply.failure.index]
            raise InvalidResultError(
                f"{call.op} {call.key!r} failed: {reply.failure.message}"
            )
        return Answer(reply.ns, reply.results)

    def processes(self) -> Sequence[int]:
        """See :meth:`LoadClient.processes`."""
        return (self._process.pid,) if self._process.returncode is None else ()

    def close(self) -> None:
        """See :meth:`LoadClient.close`."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
