"""What a failing disk means for a snapshot."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from snapfs.errors import (
    DataLossError,
    PermissionDeniedError,
    ResourceExhaustedError,
    SnapfsError,
)
from snapfs.light_typing import Final

_CLASSES: Final[dict[int, type[SnapfsError]]] = {
    errno.ENOSPC: ResourceExhaustedError,
    errno.EDQUOT: ResourceExhaustedError,
    errno.EMFILE: ResourceExhaustedError,
    errno.ENFILE: ResourceExhaustedError,
    errno.EMLINK: ResourceExhaustedError,
    errno.EACCES: PermissionDeniedError,
    errno.EPERM: PermissionDeniedError,
    errno.EROFS: PermissionDeniedError,
    errno.ENOENT: DataLossError,
    errno.ENOTDIR: DataLossError,
    errno.EIO: DataLossError,
}

DAMAGE_ADVICE: Final = "`snapfs check` tells what is damaged"
_SPACE_ADVICE: Final = "free some space"
_ADVICE: Final = {
    errno.EDQUOT: _SPACE_ADVICE,
    errno.ENOSPC: _SPACE_ADVICE,
    errno.EROFS: "mount it read-write",
    errno.ENOENT: DAMAGE_ADVICE,
    errno.ENOTDIR: DAMAGE_ADVICE,
    errno.EIO: DAMAGE_ADVICE,
}


@contextlib.contextmanager
def disk_errors(subject: str) -> Iterator[None]:
    """Raise the class that an OSError of the block stands for, naming ``subject``.

    A directory of ours that is missing is damage: only the store removes them. An
    errno that has no class of its own stays an OSError.
    """
    try:
        yield
    except OSError as error:
        error_class = _CLASSES.get(error.errno or 0)
        if error_class is None:
            raise
        where = f" ({error.filename})" if error.filename else ""
        advice = _ADVICE.get(error.errno or 0)
        way_out = f"; {advice}" if advice else ""
        raise error_class(f"{subject}: {error.strerror}{where}{way_out}") from error
