"""The reserve: empty snapshot directories, made and synced before they are needed.

Making a directory durable costs several commits of the filesystem's journal. A
service makes some ahead, in the background; a prepare then takes one, writes the
sidecar into blocks that exist (one fdatasync) and renames it into place. The rename
is not synced: the directory carries its number, so that after a crash a row whose
directory is still in the reserve tells where it belongs.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from snapfs.errors import SnapfsError
from snapfs.logs import Log
from snapfs.state.burst import Burst
from snapfs.state.content import make_content_directories
from snapfs.state.fsio import open_directory, sync_directory
from snapfs.state.paths import StatePaths
from snapfs.state.sidecar import (
    SidecarRecord,
    create_blank_sidecar,
    fill_sidecar,
)

_log = Log(__name__)

# Together they wait for one commit of the journal and few flushes of the device.
_SYNCS_AT_ONCE: Final = 8
_QUIET_S: Final = 0.02  # calls of one burst follow each other faster
# Made in one go; between two the next call is looked out for.
_BATCH: Final = 8


class DirectoryReserve:
    """Keeps up to ``size`` directories ready; all methods may run in any thread.

    Nothing here is needed for correctness: where the reserve is empty or cannot be
    filled, a prepare makes its directory itself.
    """

    def __init__(
        self, paths: StatePaths, allocate_id: Callable[[], int], size: int
    ) -> None:
        self._paths = paths
        self._allocate_id = allocate_id
        self._size = size
        self._batch = max(1, min(_BATCH, size // 4))
        self._ready: deque[int] = deque()
        self._wanted = threading.Event()
        self._closing = False
        # Filling competes with the calls of a burst for the journal.
        self._calls = Burst(_QUIET_S)
        from concurrent.futures import ThreadPoolExecutor  # for a service alone

        self._syncs = ThreadPoolExecutor(_SYNCS_AT_ONCE, thread_name_prefix="sync")
        self._thread = threading.Thread(
            target=self._fill_for_ever, name="reserve", daemon=True
        )

    def start(self) -> None:
        """Begin to fill the reserve in the background."""
        with contextlib.suppress(FileExistsError):  # from an earlier run
            os.mkdir(self._paths.reserve, 0o700)
            sync_directory(self._paths.root)
        self._wanted.set()
        self._thread.start()

    def take(self) -> int | None:
        """Return the number of a ready directory, now the caller's; None for none."""
        try:
            snapshot_id = self._ready.popleft()
        except IndexError:
            snapshot_id = None
        self.note_call()
        if self._is_wanted():
            self._wanted.set()
        return snapshot_id

    def note_call(self) -> None:
        """Say that a call changes something: filling waits for the end of the burst."""
        self._calls.note_call()

    def publish(
        self,
        record: SidecarRecord,
        *,
        with_work: bool,
        fs_owner: tuple[int, int] | None,
    ) -> bool:
        """Make the taken directory ``record.snapshot_id`` that snapshot's.

        Returns:
            Whether it could: a sidecar that is longer than a block does not fit.

        Raises:
            OSError: As the filesystem says; the caller discards the directory.
        """
        reserved = self._paths.reserved(record.snapshot_id)
        if not fill_sidecar(reserved, record):
            return False
        if fs_owner is not None and fs_owner != (os.geteuid(), os.getegid()):
            fs = os.path.join(reserved, "fs")
            os.chown(fs, *fs_owner, follow_symlinks=False)
            sync_directory(fs)
        if not with_work:
            os.rmdir(os.path.join(reserved, "work"))
        os.rename(reserved, self._paths.directory(record.snapshot_id))
        return True

    def close(self) -> None:
        """Stop, and remove what was not used."""
        self._closing = True
        self._wanted.set()
        self._calls.give_up()
        if self._thread.is_alive():
            self._thread.join()
        self._syncs.shutdown()
        while self._ready:
            self._remove(self._ready.popleft())

    def _fill_for_ever(self) -> None:
        while not self._closing:
            self._wanted.wait()
            self._wanted.clear()
            try:
                while self._is_wanted():
                    self._calls.let_pass(is_urgent=lambda: not self._ready)
                    if self._is_wanted():  # not if it was closed meanwhile
                        self._ready.extend(self._make(self._batch))
            except (OSError, SnapfsError) as error:
                # A full disk, most likely: the next prepare says so to its caller,
                # and the next take tries again.
                _log.warning("the reserve cannot be filled: %s", error)

    def _is_wanted(self) -> bool:
        return not self._closing and self._size - len(self._ready) >= self._batch

    def _make(self, count: int) -> list[int]:
        """Make ``count`` directories; all are on disk on return.

        They are synced side by side: together they wait for one commit of the
        journal, and a device flushes once for all who ask while it flushes.
        """
        made: list[int] = []
        with contextlib.ExitStack() as open_files:
            try:
                descriptors = []
                for _ in range(count):
                    snapshot_id = self._allocate_id()
                    made.append(snapshot_id)
                    path = self._paths.reserved(snapshot_id)
                    os.mkdir(path, 0o700)
                    directory = open_files.enter_context(open_directory(path))
                    make_content_directories(directory, with_work=True, fs_owner=None)
                    sidecar = create_blank_sidecar(directory)
                    open_files.callback(os.close, sidecar)
                    descriptors += [sidecar, directory]
                descriptors.append(
                    open_files.enter_context(open_directory(self._paths.reserve))
                )
                list(self._syncs.map(os.fsync, descriptors))
            except (OSError, SnapfsError):
                for snapshot_id in made:
                    self._remove(snapshot_id)
                raise
        return made

    def _remove(self, snapshot_id: int) -> None:
        path = self._paths.reserved(snapshot_id)
        with contextlib.suppress(OSError):  # the next opening discards what is left
            for name in ("fs", "work"):
                with contextlib.suppress(FileNotFoundError):  # making it was cut short
                    os.rmdir(os.path.join(path, name))
            with contextlib.suppress(FileNotFoundError):  # likewise
                os.unlink(os.path.join(path, "snapshot.log"))
            os.rmdir(path)
