"""A store in a temporary directory; after each test its own check must pass."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs.manager import SnapshotManager
from support.stores import opened_store


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> Iterator[SnapshotManager]:
    with opened_store(root) as opened:
        yield opened
        assert opened.check() == []
