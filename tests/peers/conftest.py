"""The mark of tests that need programs from outside the repository."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "peers: needs a test suite of others; make test-peers runs it"
    )


@pytest.fixture
def passable() -> Iterator[Path]:
    """An empty directory that every user can reach; those of pytest are root's alone.

    The suites become other users.
    """
    before = os.umask(0o022)
    with tempfile.TemporaryDirectory(prefix="snapfs-peers-") as directory:
        os.chmod(directory, 0o755)
        yield Path(directory)
    os.umask(before)
