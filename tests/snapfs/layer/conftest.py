"""Fixtures: where trees are made by the hundred."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs.syscalls import mount, umount2
from support.engine_tree import UMASK


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A filesystem without a disk, for random trees; with the engine's umask."""
    root = tmp_path_factory.mktemp("memory")
    mount("tmpfs", root, "tmpfs", 0, b"size=256m,mode=755")
    umask = os.umask(UMASK)
    try:
        yield root
    finally:
        os.umask(umask)
        umount2(root)
