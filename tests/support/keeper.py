"""The processes of a mount that a helper in the foreground keeps, and their deaths."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from support.sandbox import wait_until

_PAUSE_S: Final = 0.002


def server_of(keeper: int) -> int | None:
    """Return the server that a keeper has at the moment, if it has one."""
    try:
        children = Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split()
    except FileNotFoundError:
        return None
    return int(children[0]) if children else None


def kill_server(keeper: int, number: int = signal.SIGKILL) -> int:
    """Kill the server of a keeper by a signal; return which process it was."""
    found: list[int] = []

    def is_killed() -> bool:
        server = server_of(keeper)
        if server is None:
            return False
        with suppress(ProcessLookupError):
            os.kill(server, number)
            found.append(server)
        return bool(found)

    wait_until(is_killed, "a server to kill")
    return found[0]


class Killings:
    """What :func:`killing` has done so far.

    Attributes:
        done: How many servers were killed.
    """

    def __init__(self) -> None:
        self.done = 0


@contextmanager
def killing(keeper: int, seed: int, *, longest_s: float = 0.1) -> Iterator[Killings]:
    """Kill the servers of a keeper at random moments, one after another."""
    choices = random.Random(seed)
    is_over = threading.Event()
    killings = Killings()

    def kill_on() -> None:
        while not is_over.wait(choices.random() * longest_s):
            server = server_of(keeper)
            if server is not None:
                with suppress(ProcessLookupError):
                    os.kill(server, signal.SIGKILL)
                    killings.done += 1

    thread = threading.Thread(target=kill_on)
    thread.start()
    try:
        yield killings
    finally:
        is_over.set()
        thread.join()
