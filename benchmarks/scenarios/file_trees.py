"""Trees of many small files in many directories, spread over layers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

IN_A_DIRECTORY: Final = 50

NAME_PREFIX: Final = b"f00"
"""What each file's name begins with, and nothing else here."""


def make_file_trees(
    directory: Path, depth: int, files: int, size_bytes: int = 100
) -> list[Path]:
    """Make ``depth`` layers that together hold the files; highest first.

    Every layer has every directory, with its share of the files: all are merged.
    """
    layers = [directory / f"{number:03x}" for number in range(depth)]
    paths = file_paths(files)
    content = b"0123456789abcdef" * (size_bytes // 16 + 1)
    for folder in sorted({os.path.dirname(path) for path in paths}):
        for layer in layers:
            (layer / folder).mkdir(parents=True)
    for number, path in enumerate(paths):
        (layers[number % depth] / path).write_bytes(content[:size_bytes])
    return layers


def file_paths(files: int) -> Sequence[str]:
    """Return the paths of the files in such a tree."""
    return [
        f"d{number // IN_A_DIRECTORY:05d}/f00{number:06d}" for number in range(files)
    ]


def count_files(root: Path) -> int:
    """Return how many files lie below ``root``."""
    return sum(len(files) for _, _, files in os.walk(root))
