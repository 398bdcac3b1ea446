"""Two runs at a time would measure each other: one waits."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator
from pathlib import Path

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def only_one(directory: Path) -> Iterator[None]:
    """Wait until no other run that knows ``directory`` is measuring.

    The directory itself is locked (flock(2)): nothing is left behind, and it works
    between users.
    """
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _log.warning("another run is measuring; waiting for its end")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
