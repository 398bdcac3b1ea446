"""A fuzzer that is stopped for a while, with all that it waits for, goes on."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from typing import Final

import pytest

from support import sandbox

LIMIT_S: Final = 1.0
STOPPED_S: Final = 1.5


def test_what_answers_too_late_is_not_waited_for() -> None:
    ours, _theirs = multiprocessing.Pipe()

    assert not sandbox.patiently(ours.poll, 0.1)


@pytest.mark.parametrize("is_stopped", [False, True])
def test_a_stop_takes_one_slice_of_the_limit(
    monkeypatch: pytest.MonkeyPatch, is_stopped: bool
) -> None:
    monkeypatch.setattr(sandbox, "SLICE_S", 0.1)

    assert _result(_waits_for_another, is_stopped)


def _waits_for_another() -> bool:
    """Wait for a process that answers within the limit, if it runs."""
    ours, theirs = multiprocessing.Pipe()
    if os.fork() == 0:
        for _ in range(50):  # a stop lengthens one sleep alone
            time.sleep(0.01)
        theirs.send("done")
        os._exit(0)
    return sandbox.patiently(ours.poll, LIMIT_S)


def _result(call: Callable[[], bool], is_stopped: bool) -> bool:
    """Return what ``call`` does in a process group, stopped once if so wished."""
    group = os.fork()
    if group == 0:
        os.setpgid(0, 0)
        os._exit(0 if call() else 1)
    if is_stopped:
        sandbox.wait_until(lambda: os.getpgid(group) == group, "the process group")
        time.sleep(LIMIT_S / 10)
        os.killpg(group, signal.SIGSTOP)
        time.sleep(STOPPED_S)
        os.killpg(group, signal.SIGCONT)
    return os.waitpid(group, 0)[1] == 0
