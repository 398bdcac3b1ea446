"""The directories of a chain, read from the mounts that show it."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Final

from snapfs.errors import UnimplementedError
from snapfs.model import Mount

_ESCAPED: Final = re.compile(r"\\(.)")
_COLON: Final = re.compile(r"(?<!\\):")


def mounted_chain(mounts: Sequence[Mount], snapshots: str) -> tuple[str, ...]:
    """Return the content directories that ``mounts`` show, highest first.

    ``snapshots`` is the store's directory of numbered directories.

    Raises:
        UnimplementedError: They are not those of one snapshot of the store.
    """
    if len(mounts) == 1:
        directories = _directories(mounts[0])
        if directories and all(_is_ours(path, snapshots) for path in directories):
            return directories
    raise UnimplementedError("the mounts are not those of a snapshot of this store")


def _directories(mount: Mount) -> tuple[str, ...]:
    if mount.type == "bind":
        return (mount.source,)
    upper: list[str] = []
    lower: list[str] = []
    for option in mount.options:
        name, _, value = option.partition("=")
        if name == "upperdir":
            upper = [value]
        elif name == "lowerdir":
            lower = _COLON.split(value)
    return tuple(_ESCAPED.sub(r"\1", path) for path in (*upper, *lower))


def _is_ours(path: str, snapshots: str) -> bool:
    directory, name = os.path.split(path)
    above, number = os.path.split(directory)
    return (
        name == "fs"
        and above == snapshots
        and number.isascii()
        and number.isdecimal()
        and os.path.isdir(path)
    )
