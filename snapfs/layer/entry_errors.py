"""What a failed system call means for the entry that asked for it."""

from __future__ import annotations

import errno
from typing import Final

from snapfs.errors import (
    DataLossError,
    PermissionDeniedError,
    ResourceExhaustedError,
    SnapfsError,
    UnavailableError,
    UnsafeLayerError,
)
from snapfs.tar.member import shown

_CLASSES: Final[dict[int, type[SnapfsError]]] = {
    errno.ENOSPC: ResourceExhaustedError,
    errno.EDQUOT: ResourceExhaustedError,
    errno.EFBIG: ResourceExhaustedError,
    errno.EMFILE: ResourceExhaustedError,
    errno.ENFILE: ResourceExhaustedError,
    errno.EMLINK: ResourceExhaustedError,
    errno.ENOMEM: ResourceExhaustedError,
    errno.EPERM: PermissionDeniedError,
    errno.EACCES: PermissionDeniedError,
    errno.EROFS: PermissionDeniedError,
    errno.ENOTSUP: UnavailableError,
    errno.ENOSYS: UnavailableError,
    # An owner that the user namespace has no number for.
    errno.EOVERFLOW: UnavailableError,
    errno.ENAMETOOLONG: UnsafeLayerError,
    errno.ERANGE: UnsafeLayerError,
    errno.E2BIG: UnsafeLayerError,
    # The tree lets no name through twice: this filesystem takes two for one.
    errno.EEXIST: UnsafeLayerError,
}

_ADVICE: Final = {
    errno.ENOSPC: "; free some space or inodes",
    errno.EDQUOT: "; free some space or inodes",
    errno.EMFILE: "; raise the limit of open files",
    errno.EEXIST: "; the filesystem holds another name for the same",
}


def entry_error(path: bytes, error: OSError, what: str = "write") -> SnapfsError:
    """Return the error to raise, from ``error``, for the entry at ``path``.

    An errno without a class of its own contradicts what the tree knows of the
    staging directory, or is damage: DataLossError.
    """
    code = error.errno or 0
    error_class = _CLASSES.get(code, DataLossError)
    advice = _ADVICE.get(code, "")
    return error_class(f"entry {shown(path)}: cannot {what}: {error.strerror}{advice}")
