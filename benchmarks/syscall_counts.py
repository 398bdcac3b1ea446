"""Counting system calls with perf(1), between two moments and no further.

perf counts tracepoints of given processes and all their threads, at no cost to the
calls' order. ``--control`` turns the counting on and off at our word; a window in
which nothing happens is counted as well, and subtracted.
"""

from __future__ import annotations

import contextlib
import functools
import os
import select
import shutil
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from snapfs.benchmarks.programs import try_to_run
from snapfs.errors import UnavailableError

_ALL_CALLS: Final = "raw_syscalls:sys_enter"

# Counted apart where the kernel has a tracepoint for each call.
_SINGLE_CALLS: Final = {
    "mounts": ("mount", "move_mount"),
    "unmounts": ("umount",),
    "syncs": ("fsync", "fdatasync", "syncfs", "sync"),
}

# Messages to a FUSE server, counted where they are sent: in the client.
_FUSE_REQUESTS: Final = "fuse:fuse_request_send"

_SEPARATOR: Final = "\t"

# How soon the end of perf is noticed, and how often it is told to end.
_POLL_S: Final = 0.5
_NUDGE_S: Final = 0.01


@functools.cache
def unavailable() -> str:
    """Say why system calls cannot be counted here; "" if they can."""
    if shutil.which("perf") is None:
        return "perf is not installed"
    problem = _try(_ALL_CALLS)
    return f"perf cannot count system calls here: {problem}" if problem else ""


def _try(event: str) -> str:
    tried = try_to_run("perf", "stat", "-e", event, "true")
    if tried.returncode == 0 and "<not supported>" not in tried.stderr:
        return ""
    lines = [line.strip() for line in tried.stderr.splitlines() if line.strip()]
    return lines[0] if lines else f"exit code {tried.returncode}"


@functools.cache
def _events() -> dict[str, str]:
    """Return what is counted: the event and the counter it adds to."""
    events = {_ALL_CALLS: "syscalls"}
    for counter, calls in _SINGLE_CALLS.items():
        named = {f"syscalls:sys_enter_{call}": counter for call in calls}
        if not any(_try(event) for event in named):
            events.update(named)
    if not _try(_FUSE_REQUESTS):
        events[_FUSE_REQUESTS] = "fuse_requests"
    return events


class SyscallCounter:
    """Counts the system calls of ``processes`` while it is switched on.

    Used as a context manager; ``counts`` is complete after the end of the block.

    Raises:
        UnavailableError: perf does not work here.
    """

    def __init__(self, processes: Collection[int]) -> None:
        assert processes
        if reason := unavailable():
            raise UnavailableError(reason)
        self._processes = processes
        self._cleanup = contextlib.ExitStack()
        self.counts: Counter[str] = Counter()

    def __enter__(self) -> Self:
        """Start perf; nothing is counted yet."""
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            control, answer = folder / "control", folder / "answer"
            for path in (control, answer):
                os.mkfifo(path)
            self._report = folder / "report"
            self._perf = subprocess.Popen(  # noqa: S603  # perf, found before
                self._command(control, answer), stderr=subprocess.DEVNULL
            )
            stack.callback(self._end)
            # Opened for both ways: neither end blocks if perf has died already.
            self._control = os.open(control, os.O_RDWR | os.O_CLOEXEC)
            stack.callback(os.close, self._control)
            self._answer = os.open(answer, os.O_RDWR | os.O_CLOEXEC)
            stack.callback(os.close, self._answer)
            self._cleanup = stack.pop_all()
        return self

    def __exit__(
        self,
        error_class: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End perf and read what it counted."""
        with self._cleanup:
            self._interrupt()
            self.counts = self._read()

    @contextlib.contextmanager
    def counting(self) -> Iterator[None]:
        """Count what happens inside the ``with`` block."""
        self._tell("enable")
        try:
            yield
        finally:
            self._tell("disable")

    def _command(self, control: Path, answer: Path) -> list[str]:
        return [
            "perf",
            "stat",
            "--delay=-1",  # disabled until told otherwise
            f"--field-separator={_SEPARATOR}",
            f"--output={self._report}",
            f"--event={','.join(_events())}",
            f"--control=fifo:{control},{answer}",
            f"--pid={','.join(map(str, self._processes))}",
        ]

    def _tell(self, word: str) -> None:
        os.write(self._control, f"{word}\n".encode())
        answer = b""
        while b"ack\n" not in answer:
            # We hold both ends of the pipe: a dead perf would not end a plain read.
            if select.select([self._answer], [], [], _POLL_S)[0]:
                answer += os.read(self._answer, 64)
            elif self._perf.poll() is not None:
                raise UnavailableError(f"perf ended with {self._perf.returncode}")

    def _interrupt(self) -> None:
        """Let perf write its report and end.

        It looks at its flag and then waits for our next word; a signal in between
        would be lost, so it is repeated.
        """
        while self._perf.poll() is None:
            self._perf.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._perf.wait(_NUDGE_S)

    def _end(self) -> None:
        self._perf.kill()
        self._perf.wait()

    def _read(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for line in self._report.read_text().splitlines():
            words = line.split(_SEPARATOR)
            if len(words) > 2 and words[0].isdecimal() and words[2] in _events():
                found[_events()[words[2]]] += int(words[0])
        return found
