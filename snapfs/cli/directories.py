"""The directories that a snapshot, or a word of the user, stands for."""

from __future__ import annotations

import os

from snapfs.errors import InvalidArgumentError, NotFoundError
from snapfs.model import Kind, SnapshotDetails


def snapshot_directories(details: SnapshotDetails) -> tuple[str, ...]:
    """Return the layers of a snapshot, highest first.

    A view adds none to those of its parent.
    """
    kind, below = details.info.kind, details.lowerdirs
    has_own = kind is not Kind.VIEW or not below
    return (details.content, *below) if has_own else below


def existing_directory(name: str) -> str:
    """Return the absolute path of a directory.

    Raises:
        NotFoundError: There is nothing.
        InvalidArgumentError: It is something else.
    """
    path = os.path.realpath(name)
    if not name or not os.path.lexists(path):
        raise NotFoundError(f"directory {name!r} does not exist")
    if not os.path.isdir(path):
        raise InvalidArgumentError(f"{name!r} is not a directory")
    return path
