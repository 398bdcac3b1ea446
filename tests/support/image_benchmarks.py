"""Workspaces for scenarios about images, in a test's own directory."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from snapfs.benchmarks.workspaces import Workspaces


@contextlib.contextmanager
def opened_workspaces(tmp_path: Path) -> Iterator[Workspaces]:
    """Yield workspaces of one filesystem; images are kept no longer than they are."""
    before = tempfile.tempdir
    tempfile.tempdir = str(tmp_path)
    try:
        with tempfile.TemporaryDirectory(prefix="snapfs-b", dir="/tmp") as directory:
            (tmp_path / "fs").mkdir()
            yield Workspaces(tmp_path / "fs", Path(directory), "as found")
    finally:
        tempfile.tempdir = before
