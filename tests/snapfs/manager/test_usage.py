"""Usage: measured once for what is committed, each time for what is active."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from snapfs.errors import DataLossError, NotFoundError
from snapfs.manager import SnapshotManager
from snapfs.metadata import Row
from snapfs.model import Info, Usage
from support.stores import commit_layer, fs_of, opened_store


def test_usage_of_a_committed_snapshot_is_measured_once(root: Path) -> None:
    with opened_store(root) as store:
        commit_layer(store, "base", file="x" * 10_000)
        first = store.usage("base")
        (fs_of(store, "base") / "forbidden change").write_text("y" * 10_000)

        assert store.usage("base") == first
        assert first.inodes == 2
        assert first.size_bytes >= 10_000
        assert store.details("base").usage == first

    with opened_store(root) as store:
        assert store.usage("base") == first
        assert store.check() == []


def test_usage_of_an_active_snapshot_is_that_of_now(store: SnapshotManager) -> None:
    store.prepare("a")
    before = store.usage("a")
    (fs_of(store, "a") / "file").write_text("x" * 10_000)

    after = store.usage("a")

    assert (before.inodes, after.inodes) == (1, 2)
    assert after.size_bytes > before.size_bytes
    assert store.details("a").usage is None


def test_usage_of_a_view_is_nothing_and_of_a_stranger_an_error(
    store: SnapshotManager,
) -> None:
    commit_layer(store, "base", file="x")
    store.view("v", "base")

    assert store.usage("v") == Usage()
    with pytest.raises(NotFoundError):
        store.usage("missing")


def test_a_measurement_during_an_update_disturbs_neither(
    store: SnapshotManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Found by review: the new row of the measurement made the update fail.
    commit_layer(store, "base", file="x")
    replace, measure = store.metadata.replace, store._meter.measure
    measured = threading.Event()

    def measure_and_tell(path: str) -> Usage:
        usage = measure(path)
        measured.set()
        return usage

    def replace_during_a_measurement(old: Row, new: Row) -> None:
        monkeypatch.undo()
        monkeypatch.setattr(store._meter, "measure", measure_and_tell)
        thread.start()
        measured.wait()
        replace(old, new)

    thread = threading.Thread(target=store.usage, args=("base",))
    monkeypatch.setattr(store.metadata, "replace", replace_during_a_measurement)

    store.update(Info("base", labels={"l": "1"}))
    thread.join()

    assert store.stat("base").labels == {"l": "1"}
    assert store.details("base").usage is not None


def test_usage_of_content_that_is_gone_is_an_error_not_nothing(root: Path) -> None:
    with opened_store(root) as store:
        commit_layer(store, "base")
        fs = fs_of(store, "base")
        fs.rename(root / "lost+found")

        with pytest.raises(DataLossError, match=r"'base'.*fs is gone; `snapfs check`"):
            store.usage("base")

        assert store.details("base").usage is None
        assert [finding.code for finding in store.check()] == ["missing-directory"]
        (root / "lost+found").rename(fs)
        assert store.usage("base").inodes == 1
