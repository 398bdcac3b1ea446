from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs.manager import SnapshotManager
from support.stores import opened_store
from support.unpack_images import staged_names


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SnapshotManager]:
    """A store; after the test every invariant holds and nothing is staged."""
    root = tmp_path / "root"
    with opened_store(root) as opened:
        yield opened
        assert opened.check() == []
        assert staged_names(root) == []
