"""Directories for instances and trials, on the backing filesystem."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from snapfs.benchmarks.backing import (
    DEFAULT_SIZE_BYTES,
    Backing,
    provide,
)
from snapfs.benchmarks.leftovers import PREFIX, alive, detach_below
from snapfs.benchmarks.protocols import Workspace


class Workspaces:
    """Hands out empty workspaces; who made the two directories removes them.

    Args:
        directory: On the backing filesystem.
        run_directory: With a short path.
        backing: The backing filesystem in words.
    """

    def __init__(self, directory: Path, run_directory: Path, backing: str) -> None:
        self._directory = directory
        self._run_directory = run_directory
        self.backing = backing
        self._numbers = itertools.count()

    def take(self) -> Workspace:
        """Return a new workspace."""
        name = f"w{next(self._numbers)}"
        for parent in (self._directory, self._run_directory):
            (parent / name).mkdir()
        return Workspace(
            self._directory / name, self._run_directory / name, self.backing
        )


@contextlib.contextmanager
def open_workspaces(
    backing: Backing, directory: Path, image_bytes: int = DEFAULT_SIZE_BYTES
) -> Iterator[Workspaces]:
    """Make a backing filesystem below ``directory``; remove everything at the end.

    Raises:
        UnavailableError: It cannot be made here.
        ResourceExhaustedError: It does not fit.
    """
    with contextlib.ExitStack() as cleanup:
        root, words = cleanup.enter_context(provide(backing, directory, image_bytes))
        # Sockets have short paths (unix(7)), whatever the directory is.
        run_directory = Path(tempfile.mkdtemp(prefix=PREFIX))
        cleanup.callback(shutil.rmtree, run_directory)
        cleanup.enter_context(alive(run_directory))
        cleanup.callback(detach_below, run_directory)
        yield Workspaces(root, run_directory, words)
