"""Which CPUs the client and the target run on."""

from __future__ import annotations

import contextlib
import enum
import os
from collections.abc import Iterable, Iterator


class Placement(enum.StrEnum):
    """Where client and target run. Waking across CPUs costs; sharing one waits.

    ``ONE_CPU``: both on the same. ``TWO_CPUS``: the client on one, the target on
    another. ``FREE``: wherever the scheduler puts them.
    """

    ONE_CPU = "one-cpu"
    TWO_CPUS = "two-cpus"
    FREE = "free"

    def unavailable(self) -> str:
        """Say why this process cannot be placed so; "" if it can."""
        if self is Placement.TWO_CPUS and len(os.sched_getaffinity(0)) < 2:
            return "only one CPU may be used here"
        return ""


class Pinning:
    """Pins processes as a placement says."""

    def __init__(self, placement: Placement) -> None:
        allowed = sorted(os.sched_getaffinity(0))
        self._allowed = set(allowed)
        if placement is Placement.FREE:
            self._client = self._target = self._allowed
        else:
            # Interrupts go to the first CPU by default: the target avoids it.
            target = allowed[-1]
            client = target if placement is Placement.ONE_CPU else allowed[0]
            self._client, self._target = {client}, {target}

    def pin_clients(self, processes: Iterable[int] = ()) -> None:
        """Pin the calling process and the other client ``processes``."""
        for process in (os.getpid(), *processes):
            pin(process, self._client)

    def pin_targets(self, processes: Iterable[int]) -> None:
        """Pin the target's ``processes``."""
        for process in processes:
            pin(process, self._target)

    @contextlib.contextmanager
    def restored(self) -> Iterator[None]:
        """Give the calling process its CPUs back at the end."""
        try:
            yield
        finally:
            pin(os.getpid(), self._allowed)


def pin(process: int, cpus: set[int]) -> None:
    """Let every thread of ``process`` run on ``cpus`` only.

    sched_setaffinity(2) acts on one thread; new ones inherit from their maker.
    """
    try:
        threads = os.listdir(f"/proc/{process}/task")
    except FileNotFoundError:
        return  # it has ended
    for thread in threads:
        # A thread may end between the listing and the call.
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread), cpus)
