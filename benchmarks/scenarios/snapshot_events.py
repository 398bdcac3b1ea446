"""When a containerd prepared and committed snapshots, by the events that it tells."""

from __future__ import annotations

import calendar
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from snapfs.benchmarks.protocols import InvalidResultError
from snapfs.benchmarks.scenarios.private_containerd import PrivateContainerd

_PREPARED: Final = "/snapshot/prepare"
_COMMITTED: Final = "/snapshot/commit"

# Far above what a loaded machine needs: it ends a run that hangs.
_TIMEOUT_S: Final = 60.0
_POLL_S: Final = 0.02


class SnapshotEvents:
    """Follows the events of ``containerd`` in ``file``, to the end of both.

    containerd tells of a call when it is done, and stamps the event itself.
    """

    def __init__(self, containerd: PrivateContainerd, file: Path) -> None:
        self._file = file
        self._read = 0
        containerd.follow_events(file)
        # Nothing says from when on events are heard, so some are made until one is.
        deadline = time.monotonic() + _TIMEOUT_S
        while not file.stat().st_size:
            if time.monotonic() > deadline:
                raise InvalidResultError("containerd tells no events")
            containerd.ctr("namespaces", "create", secrets.token_hex(8))

    def forget(self) -> None:
        """Leave out of :meth:`span_ns` what has happened so far."""
        self._read = self._file.stat().st_size

    def span_ns(self, commits: int) -> int:
        """Return the time from the first Prepare to the last of so many Commits.

        Raises:
            InvalidResultError: They do not come, or nothing was prepared before.
        """
        deadline = time.monotonic() + _TIMEOUT_S
        while True:
            found = list(self._events())
            ends = [at_ns for at_ns, topic in found if topic == _COMMITTED]
            if len(ends) >= commits:
                break
            if time.monotonic() > deadline:
                raise InvalidResultError(f"{len(ends)} of {commits} were committed")
            time.sleep(_POLL_S)
        begins = [at_ns for at_ns, topic in found if topic == _PREPARED]
        if not begins or min(begins) >= max(ends):
            raise InvalidResultError("nothing was prepared before the last commit")
        return max(ends) - min(begins)

    def _events(self) -> Iterator[tuple[int, str]]:
        """Yield time and topic of each whole line that is not forgotten."""
        with self._file.open() as file:
            file.seek(self._read)
            for line in file:
                if line.endswith("\n"):
                    day, clock, _, _, _, topic, *_ = line.split(maxsplit=6)
                    yield _nanoseconds(day, clock), topic


def _nanoseconds(day: str, clock: str) -> int:
    """Read a time as Go prints it, such as ``2024-05-01 12:30:00.12``, in UTC."""
    whole, _, fraction = clock.partition(".")
    seconds = calendar.timegm(time.strptime(f"{day} {whole}", "%Y-%m-%d %H:%M:%S"))
    return seconds * 1_000_000_000 + int(fraction.ljust(9, "0"))
