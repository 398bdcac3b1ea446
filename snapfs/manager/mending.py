"""Sidecars after a crash: compared with the rows, and mended where they differ.

A crash between a sidecar and its row leaves a change announced that never happened
(``docs/on-disk.md``, "Crash order"). Reading all sidecars takes seconds where nothing
is in the page cache, so a service answers meanwhile. That is sound: a sidecar is only
read to make a lost database anew, and by ``check``, which waits for the end of this;
and a verb that changes a snapshot appends what counts from then on.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager

from snapfs.errors import DataLossError
from snapfs.light_typing import TYPE_CHECKING, Final
from snapfs.logs import Log
from snapfs.manager.sidecars import sidecar_of
from snapfs.metadata import Row
from snapfs.model import Kind
from snapfs.state.fsio import sync_file
from snapfs.state.paths import SIDECAR_NAME
from snapfs.state.sidecar import SidecarRecord, append_sidecar, sidecar_says

if TYPE_CHECKING:
    from snapfs.manager.parts import ManagerParts

_log = Log(__name__)

# A disk that holds none of it in memory answers eight times as much to eight who ask.
_THREADS: Final = 8
# Read without a pause, some 0.1 ms from memory: Python runs one thread at a time, and
# whoever waits for an answer of the service must not wait longer.
_BATCH: Final = 4
_PAUSE_S: Final = 0.008  # so that all threads together take a tenth of a processor
# Where so many batches take longer, they come from a disk; from memory, threads would
# only stand in each other's way.
_SAMPLE: Final = 16
_SAMPLE_S: Final = 0.02


class SidecarMender:
    """Makes the sidecars agree with the rows, which count.

    For a store that was not clean when it was opened. All methods may be called from
    any thread.
    """

    def __init__(
        self,
        parts: ManagerParts,
        holding: Callable[[int], AbstractContextManager[Row | None]],
    ) -> None:
        self._parts = parts
        self._holding = holding
        self._lock = threading.Lock()
        self._batches: deque[list[Row]] = deque()
        self._left = 0  # batches that are not done
        self._mended = 0
        self._has_failed = False
        self._threads: list[threading.Thread] = []
        self._hurry = threading.Event()
        self._closing = False
        self._plan()

    def start(self) -> None:
        """Compare in the background, and let calls go first."""
        with self._lock:
            if self._threads or self._closing or not self._batches:
                return
            for _ in range(min(_THREADS, len(self._batches))):
                thread = threading.Thread(target=self._work, name="mender", daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:  # no more threads: fewer do, or none
                    _log.warning("sidecars are compared by fewer threads: %s", error)
                    return
                self._threads.append(thread)

    def finish(self) -> None:
        """Return when all are compared, or :meth:`close` was called."""
        self._hurry.set()
        began_s = time.monotonic()
        self._work(_SAMPLE)
        if time.monotonic() - began_s > _SAMPLE_S:
            self.start()
        self._work()
        for thread in self._threads:
            thread.join()

    def close(self) -> None:
        """Stop; what is left the next opening compares."""
        with self._lock:
            self._closing = True
        self._hurry.set()
        for thread in self._threads:
            thread.join()

    def _plan(self) -> None:
        rows = self._parts.metadata.rows()
        # First those that a crash may have kept from being committed: only their
        # sidecars may lay claim to a name that another snapshot can get meanwhile.
        rows.sort(key=lambda row: row.kind is not Kind.ACTIVE)
        self._batches.extend(
            rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH)
        )
        self._left = len(self._batches)
        if not self._left:
            self._parts.metadata.mark.note_compared()

    def _work(self, most: int = sys.maxsize) -> None:
        for _ in range(most):
            if self._closing:
                return
            try:
                batch = self._batches.popleft()
            except IndexError:
                return
            for row in batch:
                self._compare(row)
            self._note_done()
            self._hurry.wait(_PAUSE_S)

    def _note_done(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left:
                return
            if not self._has_failed:
                self._parts.metadata.mark.note_compared()
        _log.info("all sidecars are compared after a crash; mended: %d", self._mended)

    def _compare(self, row: Row) -> None:
        if self._says(row):
            return
        with self._holding(row.snapshot_id) as current:
            # Another one, or none, where a verb was faster.
            if current is None or self._says(current, is_told=True):
                return
            try:
                self._mend(current)
            except FileNotFoundError as error:  # the whole directory is gone
                _log.warning("sidecar of snapshot %r: %s", current.key, error)
            except OSError as error:
                # Not worth refusing every other snapshot for: check reports it, and
                # the next opening tries again.
                self._has_failed = True
                _log.warning("sidecar of snapshot %r: %s", current.key, error)

    def _mend(self, row: Row) -> None:
        directory = self._directory(row)
        append_sidecar(directory, self._record(row))
        # No transaction follows whose sync would cover it.
        sync_file(os.path.join(directory, SIDECAR_NAME))
        with self._lock:
            self._mended += 1

    def _says(self, row: Row, *, is_told: bool = False) -> bool:
        try:
            return sidecar_says(self._directory(row), self._record(row))
        except DataLossError as error:
            if is_told:
                _log.warning("%s; it is written anew", error)
            return False

    def _directory(self, row: Row) -> str:
        return self._parts.paths.directory(row.snapshot_id)

    def _record(self, row: Row) -> SidecarRecord:
        return sidecar_of(row, self._parts.identity.xattr_prefix)
