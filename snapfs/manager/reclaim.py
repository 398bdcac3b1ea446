"""The reclaimer: finds directories that nobody needs and removes their files."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable, Iterator, Sequence

from snapfs.errors import SnapfsError
from snapfs.light_typing import TYPE_CHECKING, Final
from snapfs.logs import Log
from snapfs.metadata import MetadataStore
from snapfs.model import Garbage, Usage
from snapfs.state import Ballast, SnapshotDirectories, StatePaths
from snapfs.state.burst import Burst
from snapfs.state.staged import unless_in_use
from snapfs.worker.process import WorkerProcess

if TYPE_CHECKING:
    from snapfs.worker.removal import Removal

_log = Log(__name__)

# So long no removal comes when a burst is over; so long it may last.
_QUIET_S: Final = 0.2
_LONGEST_WAIT_S: Final = 5.0
# Entries of the trash in one request to the worker: enough that the way there and
# back costs nothing, few enough that what stays is logged while the rest goes on.
_BATCH: Final = 64


class Reclaimer:
    """Empties the trash in the background, and finds what should be in it.

    The only garbage outside the trash is what a crash or a failed rename left: a
    directory in ``staging``, or one in ``snapshots`` that has no row. Creations and
    removals that are under way have directories without rows too; they say so by
    :meth:`in_flight`.
    """

    def __init__(
        self,
        paths: StatePaths,
        metadata: MetadataStore,
        directories: SnapshotDirectories,
    ) -> None:
        self._paths = paths
        self._metadata = metadata
        self._directories = directories
        self._worker = WorkerProcess()
        self._lock = threading.Lock()
        # The background and those who wait for the end take turns: what one is about
        # to remove is not listed a second time by the other.
        self._turn = threading.Lock()
        self._busy: set[int] = set()
        self._wanted = threading.Event()
        # A garbage collection removes many snapshots in a row, under a lock that
        # stops the node; reclaiming the first would slow down all the others.
        self._removals = Burst(_QUIET_S, _LONGEST_WAIT_S)
        self._thread: threading.Thread | None = None
        self._closing = False

    @contextlib.contextmanager
    def in_flight(self, *numbers: int) -> Iterator[None]:
        """Keep directories that a verb is at work on from being garbage."""
        with self._lock:
            self._busy.update(numbers)
        try:
            yield
        finally:
            with self._lock:
                self._busy.difference_update(numbers)

    def orphans(self) -> list[Garbage]:
        """Return the garbage that is not in the trash yet."""
        found = [
            Garbage(os.path.join(self._paths.staging, name), "its making was cut short")
            for name in self._directories.staged()
            if not self._is_busy(name) and self._is_idle(name)
        ]
        found += [
            Garbage(os.path.join(self._paths.snapshots, name), "no snapshot has it")
            for name in self._directories.published()
            if _is_number(name) and not self._has_user(name)
        ]
        # What a verb finished with between the listing and the look is moved on.
        return [item for item in found if os.path.lexists(item.path)]

    def measure(self) -> list[Garbage]:
        """Return all garbage and what it occupies; change nothing."""
        waiting = [
            Garbage(os.path.join(self._paths.trash, name), "its snapshot was removed")
            for name in self._directories.trash()
        ]
        return [
            Garbage(item.path, item.reason, self._worker.measure(item.path))
            for item in (*waiting, *self.orphans())
        ]

    def run(self) -> list[Garbage]:
        """Remove all garbage and wait for it; return what it was.

        What cannot be removed is logged, stays, and is not in the answer.
        """
        reasons = {}
        # In one turn: the background would report what it takes to nobody.
        with self._turn:
            for item in self.orphans():
                try:
                    with unless_in_use(item.path) as is_idle:
                        if not is_idle:
                            continue  # somebody stages a layer there, since now
                        self._directories.discard(item.path)
                except OSError as error:
                    _log.warning("cannot reclaim %s: %s", item.path, error)
                else:
                    reasons[os.path.basename(item.path)] = item.reason
            removed = self._empty_trash(measured=True)
        return [
            Garbage(
                os.path.join(self._paths.trash, name),
                reasons.get(name, "its snapshot was removed"),
                usage,
            )
            for name, usage in removed.items()
        ]

    def start(self) -> None:
        """Empty the trash in the background."""
        with self._lock:
            if self._closing:
                return
            self._removals.note_call()
            self._wanted.set()
            if self._thread is None:
                thread = threading.Thread(
                    target=self._serve, name="reclaimer", daemon=True
                )
                thread.start()
                self._thread = thread

    def finish(self) -> None:
        """Wait until what was started is done."""
        if self._thread is not None:
            with self._turn:
                self._empty_trash()

    def close(self) -> None:
        """Stop, in the middle of a removal if need be."""
        with self._lock:
            self._closing = True
            self._wanted.set()
            thread = self._thread
        self._removals.give_up()
        self._worker.close()
        if thread is not None:
            thread.join()

    def _serve(self) -> None:
        while True:
            self._wanted.wait()
            self._removals.let_pass()
            self._wanted.clear()
            if self._closing:
                return
            try:
                with self._turn:
                    self._empty_trash()
            except OSError as error:  # this thread must live to the next removal
                _log.warning("cannot read the trash: %s", error)

    def _empty_trash(self, *, measured: bool = False) -> dict[str, Usage]:
        """Remove what is in the trash; return what there was, by name.

        The caller holds the turn. What cannot be removed is logged, and left out.
        """
        removed = {}
        for names in _batches(self._directories.trash()):
            for name, removal in self._remove(names, measured=measured):
                if removal.error is not None:
                    self._complain(name, removal.error)
                elif removal.usage.inodes:  # else somebody else has removed it
                    removed[name] = removal.usage
        Ballast(self._paths).take_on()  # a removal may have spent it
        return removed

    def _remove(
        self, names: Sequence[str], *, measured: bool
    ) -> Iterable[tuple[str, Removal]]:
        """Have the worker remove ``names``; nothing where the store is closed."""
        if self._closing:
            return ()
        try:
            removals = self._worker.remove(self._paths.trash, names, measured=measured)
        except (OSError, SnapfsError) as error:
            if len(names) == 1 or self._closing:
                self._complain(names[0], error)
                return ()
            # It dies of one of them, say: that must not keep the others.
            return [
                pair
                for name in names
                for pair in self._remove([name], measured=measured)
            ]
        return zip(names, removals, strict=True)

    def _complain(self, name: str, error: Exception) -> None:
        if not self._closing:
            path = os.path.join(self._paths.trash, name)
            _log.warning("cannot reclaim %s: %s", path, error)

    def _has_user(self, name: str) -> bool:
        """Whether a directory that was listed belongs to a row or to a verb.

        The row is looked for first, since a removal deletes it before it takes the
        directory away, and last, since a creation adds it after the directory.
        """
        number = int(name)
        return (
            self._metadata.is_needed(number)
            or self._is_busy(name)
            or self._metadata.is_needed(number)
        )

    def _is_idle(self, name: str) -> bool:
        """Whether nobody fills a staged directory at this moment."""
        with unless_in_use(os.path.join(self._paths.staging, name)) as is_idle:
            return is_idle

    def _is_busy(self, name: str) -> bool:
        with self._lock:
            return _is_number(name) and int(name) in self._busy


def _batches(names: Sequence[str]) -> Iterator[Sequence[str]]:
    return (names[start : start + _BATCH] for start in range(0, len(names), _BATCH))


def _is_number(name: str) -> bool:
    """Whether ``name`` is one that we give: anything else is not ours to remove."""
    return name.isascii() and name.isdigit() and str(int(name)) == name
