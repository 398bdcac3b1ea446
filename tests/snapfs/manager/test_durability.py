"""When the data of a commit is on disk."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from snapfs.errors import (
    DataLossError,
)
from snapfs.manager import SnapshotManager
from snapfs.model import Durability
from support.stores import commit_layer, opened_store


class SyncLog:
    """Counts syncfs calls and what the store said at that moment."""

    def __init__(self) -> None:
        self.store: SnapshotManager | None = None
        self.names: list[list[str]] = []

    def __call__(self, descriptor: int) -> None:
        assert self.store is not None
        assert os.readlink(f"/proc/self/fd/{descriptor}").endswith("/fs")
        self.names.append([info.name for info in self.store.walk()])


@pytest.mark.parametrize("durability", [Durability.LAYER, Durability.IMAGE])
def test_data_is_synced_before_the_row_changes(
    root: Path, monkeypatch: pytest.MonkeyPatch, durability: Durability
) -> None:
    log = SyncLog()
    monkeypatch.setattr("snapfs.manager.changes.syncfs", log)
    with opened_store(root, durability=durability) as store:
        log.store = store
        store.prepare("a")
        assert log.names == []

        store.commit("c", "a")

        assert log.names == [["a"]]
        assert store.details("c").durability is durability


def test_without_durability_nothing_is_synced(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = SyncLog()
    monkeypatch.setattr("snapfs.manager.changes.syncfs", log)
    with opened_store(root, durability=Durability.NONE) as store:
        log.store = store
        commit_layer(store, "c")

        assert store.details("c").durability is Durability.NONE
    assert log.names == []


def test_a_commit_whose_data_cannot_be_synced_changes_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("snapfs.manager.changes.syncfs", fail)
    with opened_store(root, durability=Durability.LAYER) as store:
        store.prepare("a")

        with pytest.raises(DataLossError, match="'a'"):
            store.commit("c", "a")

        assert [info.name for info in store.walk()] == ["a"]
        assert store.check() == []
