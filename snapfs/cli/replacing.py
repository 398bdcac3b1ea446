"""Files that a command writes for its user: whole, or as they were."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from typing import IO


@contextlib.contextmanager
def replacing(path: str) -> Iterator[IO[bytes]]:
    """Yield a new private file, which is ``path`` once the block has ended.

    After an error ``path`` is as it was, and nothing lies beside it.

    Raises:
        OSError: It cannot be written; the error names ``path``.
    """
    try:
        descriptor, temporary = tempfile.mkstemp(
            prefix=".snapfs-", dir=os.path.dirname(path) or "."
        )
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        os.rename(temporary, path)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):  # it was renamed
            os.unlink(temporary)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = path
        raise
