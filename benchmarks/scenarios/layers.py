"""Lower directories for the tree scenarios, and targets that mount them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

SHARED: Final = "shared"  # a directory that every layer has


def make_layers(directory: Path, depth: int, files: int) -> list[Path]:
    """Make ``depth`` layers that together hold ``files`` files; highest first.

    Every layer has the directory :data:`SHARED` with its share of the files, named
    by :func:`file_names`, dealt out in turn: some in the top, some at the bottom.
    Names are short, so that 500 layers fit into one page of mount options.
    """
    layers = [directory / f"{number:03x}" for number in range(depth)]
    for layer in layers:
        (layer / SHARED).mkdir(parents=True)
    for number, name in enumerate(file_names(files)):
        (layers[number % depth] / SHARED / name).write_bytes(name.encode())
    return layers


def file_names(files: int) -> Sequence[str]:
    """Return the names in the merged directory :data:`SHARED`, in sorted order."""
    return [f"file{number:06d}" for number in range(files)]
