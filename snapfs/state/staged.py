"""Staging directories that another process fills: held by a lock, not by a promise.

Whoever unpacks an image is often not the owner of the store. It asks the owner for
numbers, makes ``staging/N`` itself and keeps an flock(2) on it for as long as it
works. The kernel drops the lock when the process dies, however it dies; from then on
the directory is garbage, and the owner may take it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator

from snapfs.light_typing import Final, Self
from snapfs.state.paths import StatePaths

_PRIVATE_MODE: Final = 0o700
_OPEN_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ATTEMPTS: Final = 100  # against a reclaimer that is always faster: it never is twice


class StagedDirectory:
    """``staging/N``, made and locked; its ``fs`` is for the caller to fill.

    Attributes:
        snapshot_id: N.
        descriptor: An open descriptor of the directory.
    """

    def __init__(self, snapshot_id: int, descriptor: int) -> None:
        self.snapshot_id = snapshot_id
        self.descriptor = descriptor

    @classmethod
    def create(cls, paths: StatePaths, snapshot_id: int) -> Self:
        """Make and lock the directory of a number that the owner gave us.

        Raises:
            OSError: As the filesystem says.
        """
        path = os.path.join(paths.staging, str(snapshot_id))
        for _ in range(_ATTEMPTS):
            os.mkdir(path, _PRIVATE_MODE)
            descriptor = _locked(path)
            if descriptor is not None:
                return cls(snapshot_id, descriptor)
            # A reclaimer took it before it was locked.
        raise OSError(errno.EBUSY, "somebody keeps removing it", path)

    def make_fs(self) -> int:
        """Make the content's root directory, private; return a descriptor of it."""
        os.mkdir("fs", _PRIVATE_MODE, dir_fd=self.descriptor)
        return self.open_fs()

    def open_fs(self) -> int:
        """Return a new descriptor of the content's root directory."""
        return os.open("fs", _OPEN_FLAGS, dir_fd=self.descriptor)

    def release(self) -> None:
        """Unlock: what was not published is garbage now. A second call is nothing."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


@contextlib.contextmanager
def unless_in_use(path: str) -> Iterator[bool]:
    """Yield whether nobody works in the staged directory ``path``.

    If nobody does, nobody can begin to until the end of the ``with``.

    Raises:
        OSError: As the filesystem says.
    """
    try:
        descriptor = os.open(path, _OPEN_FLAGS)
    except FileNotFoundError:
        yield False  # it has gone, or was published
        return
    except NotADirectoryError:
        yield True  # nothing that we make; and nobody can hold it
        return
    try:
        yield _try_lock(descriptor)
    finally:
        os.close(descriptor)


def _locked(path: str) -> int | None:
    """Open and lock the directory ``path``; None if somebody took it meanwhile.

    Whoever only looks whether it is in use holds the lock for a moment: waited for.
    """
    try:
        descriptor = os.open(path, _OPEN_FLAGS)
    except FileNotFoundError:
        return None
    with contextlib.suppress(FileNotFoundError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        # The reclaimer locks before it renames: after the lock the name is true.
        if os.path.samestat(os.fstat(descriptor), os.lstat(path)):
            return descriptor
    os.close(descriptor)
    return None


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
