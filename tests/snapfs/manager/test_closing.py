"""After closing, another process may own the root."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from snapfs.errors import (
    SnapfsError,
    UnavailableError,
)
from snapfs.manager import SnapshotManager
from snapfs.model import Info, Mount, Stack
from support.stores import FakeDriver, commit_layer, opened_store


def test_a_closed_store_refuses_changes_and_touches_nothing(root: Path) -> None:
    with opened_store(root) as store:
        store.prepare("a")
    listing = os.listdir(root / "snapshots")

    for change in (
        lambda: store.prepare("b"),
        lambda: store.commit("c", "a"),
        lambda: store.remove("a"),
        lambda: store.update(Info("a")),
        store.reclaim,
    ):
        with pytest.raises(UnavailableError, match="closed"):
            change()

    store.cleanup()
    store.close()
    assert os.listdir(root / "snapshots") == listing
    assert os.listdir(root / "staging") == []


def test_closing_waits_for_a_verb_that_is_at_work(root: Path) -> None:
    entered, go_on = threading.Event(), threading.Event()

    class SlowDriver(FakeDriver):
        def mounts(self, stack: Stack) -> list[Mount]:
            entered.set()
            go_on.wait()
            return super().mounts(stack)

    failures: list[Exception] = []

    def prepare(store: SnapshotManager) -> None:
        try:
            store.prepare("a")
        except SnapfsError as error:
            failures.append(error)

    with opened_store(root, drivers={"fake": SlowDriver()}) as store:
        preparing = threading.Thread(target=prepare, args=(store,))
        closing = threading.Thread(target=store.close)
        preparing.start()
        entered.wait()
        closing.start()
        while not store._gate.is_shut:
            pass
        assert closing.is_alive()

        go_on.set()
        preparing.join()
        closing.join()

    assert failures == []
    with opened_store(root) as store:
        assert [info.name for info in store.walk()] == ["a"]
        assert store.check() == []


def test_nothing_is_left_behind_by_closing(root: Path) -> None:
    threads = set(threading.enumerate())
    descriptors = set(os.listdir("/proc/self/fd"))

    for _ in range(3):
        with opened_store(root) as store:
            commit_layer(store, "c")
            store.usage("c")
            store.remove("c")
            store.finish_reclaim()

    assert set(threading.enumerate()) == threads
    assert set(os.listdir("/proc/self/fd")) == descriptors


def test_what_is_made_after_closing_begins_nothing(root: Path) -> None:
    with opened_store(root) as store:
        commit_layer(store, "base", file="x")
    with opened_store(root) as store:
        assert "_reclaimer" not in vars(store)
        assert "_meter" not in vars(store)
        store.close()

        (root / "trash" / "left").mkdir()
        store.cleanup()
        store.finish_reclaim()

        assert os.listdir(root / "trash") == ["left"]
        with pytest.raises(UnavailableError, match="closed"):
            store._meter.measure(str(root))


def test_threads_that_ask_at_once_get_the_same_part(root: Path) -> None:
    with opened_store(root) as store:
        both = threading.Barrier(2)
        found = []

        def ask() -> None:
            both.wait()
            found.append(store.changes)

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert found == [store.changes] * 2
