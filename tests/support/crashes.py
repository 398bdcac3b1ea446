"""Processes that are killed: at a chosen step, or whenever the test says so.

A child is forked, not started: 200 fresh interpreters would take minutes. It ends by
SIGKILL or ``os._exit``, so that nothing of the test runner's runs in it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Final

from snapfs import syscalls
from snapfs.metadata import database

# What changes a disk. The order of these calls is what a crash can cut anywhere.
STEPS: Final = (
    *("mkdir", "rename", "unlink", "rmdir", "open", "chmod", "chown", "ftruncate"),
    *("pwrite", "write", "fsync", "fdatasync"),
)


class Countdown:
    """Kills this process right before the step number ``at``, counted from 1."""

    def __init__(self, at: int) -> None:
        self._left = at

    def step(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def arm(countdown: Countdown) -> None:
    """Count every step that this process takes from now on, for good."""
    for name in STEPS:
        setattr(os, name, _counted(countdown, getattr(os, name)))
    syscalls.write_out = _counted(countdown, syscalls.write_out)  # type: ignore[assignment]  # fits
    # The module that the store calls by this name is not always the public one.
    library = vars(database)["sqlite3"]
    connect = library.connect

    class CountedConnection(sqlite3.Connection):
        def execute(self, sql: str, *args: object) -> sqlite3.Cursor:
            countdown.step()
            return super().execute(sql, *args)  # type: ignore[arg-type]  # passed through

    def counted_connect(*args: object, **kwargs: object) -> sqlite3.Connection:
        return connect(*args, factory=CountedConnection, **kwargs)  # type: ignore[no-any-return]  # passed through

    library.connect = counted_connect


def _counted(
    countdown: Countdown, function: Callable[..., object]
) -> Callable[..., object]:
    def call(*args: object, **kwargs: object) -> object:
        countdown.step()
        return function(*args, **kwargs)

    return call


@contextlib.contextmanager
def forked(action: Callable[[int], None]) -> Iterator[tuple[int, int]]:
    """Run ``action`` in a child; yield its process id and the end it reports to.

    ``action`` gets a descriptor to report to. At the end the child is killed.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _run(action, reader, writer)
    os.close(writer)
    try:
        yield child, reader
    finally:
        os.close(reader)
        # Not waited for yet, so that the number is still this child's.
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _run(action: Callable[[int], None], reader: int, writer: int) -> None:
    """Run ``action`` and leave without unwinding into the test runner."""
    status = 1
    try:
        os.close(reader)
        action(writer)
        status = 0
    except BaseException:  # noqa: BLE001 - nothing may unwind into the runner
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)


def run_until_killed(action: Callable[[], None], at: int) -> tuple[bool, bool]:
    """Run ``action`` in a child that is killed before its step number ``at``.

    Returns:
        Whether it came to its end, and whether it was killed. Killed after its end
        is possible: what a process does on its way out counts too.

    Raises:
        AssertionError: It failed.
    """

    def act(writer: int) -> None:
        write = os.write
        arm(Countdown(at))
        action()
        write(writer, b"done")

    with forked(act) as (child, reader):
        said = os.read(reader, 16)
        status = os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert status is not None
    was_killed = status.si_code == os.CLD_KILLED
    assert was_killed or status.si_status == 0, "the child failed; see its traceback"
    return said == b"done", was_killed
