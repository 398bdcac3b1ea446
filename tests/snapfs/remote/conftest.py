"""A store in memory behind a socket, and a client of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs.remote import RemoteStore
from support.memory_store import MemoryStore
from support.served import CALL_TIMEOUT_S, served


@pytest.fixture
def store() -> MemoryStore:
    """The store that is served."""
    return MemoryStore()


@pytest.fixture
def remote(store: MemoryStore, tmp_path: Path) -> Iterator[RemoteStore]:
    """A client of ``store``."""
    with (
        served(tmp_path, store, store) as address,
        RemoteStore(address, timeout_s=CALL_TIMEOUT_S) as client,
    ):
        yield client
