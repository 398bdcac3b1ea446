"""Looking up the names of one directory: what scenarios about small files share."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from snapfs.benchmarks.protocols import InvalidResultError, Outcome

DoNames = Callable[[int, Sequence[str]], int]
"""Does something to each name in an open directory; returns how often it went right."""


def run_in(directory: Path, do: DoNames, names: Sequence[str]) -> Outcome:
    """Do it to ``names`` below one descriptor, so that no path is walked per name."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return Outcome(operations=do(descriptor, names))
    finally:
        os.close(descriptor)


def require_all(outcome: Outcome, names: Sequence[str]) -> None:
    """Check that each name went as it should.

    Raises:
        InvalidResultError: One did not.
    """
    if outcome.operations != len(names):
        raise InvalidResultError(
            f"{outcome.operations} of {len(names)} names went as they should"
        )


def stat_names(directory: int, names: Sequence[str]) -> int:
    """Call stat(2) for names that are there."""
    for name in names:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    return len(names)


def stat_absent_names(directory: int, names: Sequence[str]) -> int:
    """Call stat(2) for names that are not there; return how many were not."""
    absent = 0
    for name in names:
        try:
            os.stat(name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            absent += 1
    return absent


def list_names(directory: int, _names: Sequence[str]) -> int:
    """List the directory; return how many names it has."""
    with os.scandir(directory) as entries:
        return sum(1 for _ in entries)
