"""The directory of a store before it is opened: refused, made, locked.

What cannot hold a store is refused before anything is made in it, so that a mistake
leaves no directory, no lock file and no half of a store behind.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator

from snapfs.errors import (
    DataLossError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
    SnapfsError,
    UnavailableError,
)
from snapfs.light_typing import Final
from snapfs.overlay_format import fitting_prefix
from snapfs.state import LockHolder, RootLock, StatePaths, open_identity

_NOT_A_DIRECTORY: Final = frozenset({errno.EEXIST, errno.ENOTDIR})
_OWNER_ADVICE: Final = "run as its owner, or choose another --root"
_SPACE_ADVICE: Final = "free some space, or choose another --root"

# What an error means for the directory as a whole, and the way out.
_MEANINGS: Final[dict[int, tuple[type[SnapfsError], str]]] = {
    errno.EACCES: (PermissionDeniedError, _OWNER_ADVICE),
    errno.EPERM: (PermissionDeniedError, _OWNER_ADVICE),
    errno.EROFS: (PermissionDeniedError, "mount it read-write"),
    errno.EDQUOT: (ResourceExhaustedError, _SPACE_ADVICE),
    errno.ENOSPC: (ResourceExhaustedError, _SPACE_ADVICE),
    errno.EMFILE: (ResourceExhaustedError, "raise its limit (ulimit -n)"),
    errno.ENFILE: (ResourceExhaustedError, "close some programs"),
    errno.EIO: (DataLossError, "the kernel's log says what is wrong with the disk"),
    errno.ELOOP: (InvalidArgumentError, "choose another --root"),
    errno.ENAMETOOLONG: (InvalidArgumentError, "choose another --root"),
}


@contextlib.contextmanager
def root_errors(paths: StatePaths) -> Iterator[None]:
    """Raise the class that an OSError of the block stands for, naming the root."""
    try:
        yield
    except OSError as error:
        number = error.errno or 0
        if number in _NOT_A_DIRECTORY:
            raise InvalidArgumentError(
                f"{paths.root} is not a directory; choose another --root"
            ) from error
        error_class, advice = _MEANINGS.get(
            number, (UnavailableError, "choose another --root")
        )
        where = "" if error.filename in (None, paths.root) else f" ({error.filename})"
        raise error_class(
            f"{paths.root} cannot be used: {error.strerror}{where}; {advice}"
        ) from error


def no_store(paths: StatePaths) -> NotFoundError:
    """Return the error that the root holds no store."""
    return NotFoundError(f"no store in {paths.root}; `snapfs prepare` makes one")


def holds_store(paths: StatePaths) -> bool:
    """Tell whether the root holds a store; change nothing.

    Raises:
        InvalidArgumentError: The root is no directory, or holds something else.
        DataLossError: It holds a store that is damaged.
        FailedPreconditionError: A newer version made the store.
        PermissionDeniedError: It cannot be read.
    """
    with root_errors(paths):
        try:
            mode = os.stat(paths.root).st_mode
        except FileNotFoundError:
            return False
        if not stat.S_ISDIR(mode):
            raise NotADirectoryError(errno.ENOTDIR, "Not a directory", paths.root)
        if os.path.lexists(paths.lock):
            # Somebody may be making it right now: the owner of the lock looks again.
            return True
        _identity, is_new = open_identity(paths, fitting_prefix())
        return not is_new


def nearest_directory(path: str) -> str:
    """Return ``path``, or what exists of the directories above it."""
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return path


def try_lock(paths: StatePaths) -> RootLock | LockHolder:
    """Lock the root, which is made if it is missing; or say who holds the lock.

    Raises:
        SnapfsError: As :func:`root_errors`.
    """
    with root_errors(paths):
        os.makedirs(paths.root, 0o700, exist_ok=True)
        return RootLock.try_acquire(paths.lock)
