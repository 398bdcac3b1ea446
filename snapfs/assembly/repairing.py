"""Repair of a store that cannot be opened: nobody else may use it meanwhile."""

from __future__ import annotations

import os

from snapfs.assembly.owned import owned_store
from snapfs.assembly.root_directory import holds_store, no_store, root_errors, try_lock
from snapfs.assembly.settings import StoreSettings
from snapfs.driver import EXTRACTION_LABEL
from snapfs.errors import DataLossError, FailedPreconditionError
from snapfs.manager.rebuilding import Rebuilt, rebuild
from snapfs.overlay_format import fitting_prefix
from snapfs.state import RootLock, StatePaths, open_identity


def repair_store(root: str | os.PathLike[str]) -> Rebuilt | None:
    """Make the database of the store in ``root`` anew, if it cannot be used.

    A store that can be opened is left alone.

    Returns:
        What was done; None where nothing had to be.

    Raises:
        NotFoundError: There is no store.
        FailedPreconditionError: A process owns the root.
        SnapfsError: It cannot be opened, and not for its database's sake.
    """
    paths = StatePaths(os.path.abspath(root))
    if not holds_store(paths):
        raise no_store(paths)
    try:
        owned_store(paths, _locked(paths), StoreSettings(), create=False).close()
    except DataLossError:
        pass
    else:
        return None
    lock = _locked(paths)
    try:
        with root_errors(paths):
            identity, is_new = open_identity(paths, fitting_prefix())
            if is_new:
                raise no_store(paths)
            if os.path.isdir(paths.images):
                from snapfs.state.loop_images import LoopImages

                # What the snapshots with an image say of themselves lies in it.
                images = LoopImages(paths, 0, EXTRACTION_LABEL, makes_new=False)
                images.attach_all(lambda _number: True)
            return rebuild(paths, identity)
    finally:
        lock.release()


def _locked(paths: StatePaths) -> RootLock:
    lock = try_lock(paths)
    if isinstance(lock, RootLock):
        return lock
    raise FailedPreconditionError(
        f"{paths.root} is in use by {lock}; a store is repaired while nobody uses it:"
        " stop that first"
    )
