"""What opening a store puts right after a crash, before the first call.

Each state that a crash can leave is listed in ``docs/on-disk.md``, "Crash order". What
sidecars say is compared by :mod:`snapfs.manager.mending`, which no call waits for.
"""

from __future__ import annotations

import os

from snapfs.errors import DataLossError
from snapfs.light_typing import TYPE_CHECKING
from snapfs.logs import Log
from snapfs.state import Ballast

if TYPE_CHECKING:
    from snapfs.manager.parts import ManagerParts

_log = Log(__name__)


def recover(parts: ManagerParts) -> None:
    """Make the directories on disk agree with the rows; the rows count.

    Raises:
        DataLossError: The database is older than the snapshots on disk, so that
            taking it for the truth would discard them; or all of these are gone.
    """
    _make_missing_parents(parts)
    _refuse_old_database(parts)
    parts.directories.attach_images(parts.metadata.is_needed)
    parts.directories.settle_reserve(parts.metadata.is_needed)
    for name in parts.directories.staged():
        from snapfs.state.staged import unless_in_use  # a crash left something

        path = os.path.join(parts.paths.staging, name)
        with unless_in_use(path) as is_idle:
            if is_idle:
                _discard(parts, path)
    for name in parts.directories.published():
        if (
            name.isascii()
            and name.isdigit()
            and not parts.metadata.is_needed(int(name))
        ):
            _log.info("discarding snapshot directory %s: it has no row", name)
            _discard(parts, os.path.join(parts.paths.snapshots, name))
    Ballast(parts.paths).take_on()


def _make_missing_parents(parts: ManagerParts) -> None:
    missing = parts.directories.missing_parents()
    if parts.paths.snapshots in missing and len(parts.metadata):
        raise DataLossError(
            f"{parts.paths.snapshots} is missing, but {parts.paths.database} knows"
            f" {len(parts.metadata)} snapshots; mount or restore what holds them"
        )
    if missing:
        parts.directories.create_parents()


def _discard(parts: ManagerParts, path: str) -> None:
    try:
        parts.directories.discard(path)
    except OSError as error:
        # Something is mounted on it, say: no reason to refuse every snapshot.
        _log.warning("%s stays: %s", path, error)


def _refuse_old_database(parts: ManagerParts) -> None:
    limit = parts.metadata.first_unused_id
    for name in parts.directories.published():
        if name.isascii() and name.isdigit() and int(name) >= limit:
            raise DataLossError(
                f"{parts.paths.database} is older than the snapshots on disk"
                f" ({name} was never issued by it); restore the database that belongs"
                " to them"
            )
