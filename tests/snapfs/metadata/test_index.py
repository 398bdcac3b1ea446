"""The index in memory: readers without a lock never see a snapshot missing."""

from __future__ import annotations

import dataclasses
import sys
import threading
from collections.abc import Iterator

import pytest

from snapfs.metadata import Row
from snapfs.metadata.index import SnapshotIndex
from snapfs.model import Info, Kind, Owner


def row(number: int, key: str, parent_id: int = 0, layer_id: int = 0) -> Row:
    return Row(
        info=Info(key, "", Kind.COMMITTED),
        snapshot_id=number,
        parent_id=parent_id,
        owner=Owner.LOCAL,
        driver="fake",
        layer_id=layer_id or number,
    )


@pytest.fixture
def frequent_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("frequent_switches")
def test_readers_find_a_row_at_any_moment_of_its_replacement() -> None:
    index = SnapshotIndex([row(1, "base"), row(2, "other"), row(3, "child", 1)])
    failures: list[tuple[bool, ...]] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            claims = (
                index.by_id(1) is not None,
                index.by_key("base") is not None,
                index.is_needed(1),
                index.child_count(1) >= 1,
                len(index.rows()) == 3,
            )
            if not all(claims):
                failures.append(claims)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for _ in range(3000):
        for number, key, parent in ((1, "base", 0), (3, "child", 1)):
            old = index.by_key(key)
            assert old is not None
            index.replace(old, dataclasses.replace(old, parent_id=parent))
            assert index.by_id(number) is index.by_key(key)
    done.set()
    for reader in readers:
        reader.join()

    assert failures == []


@pytest.mark.usefixtures("frequent_switches")
def test_readers_find_a_commit_under_one_of_its_names() -> None:
    index = SnapshotIndex([row(1, "even")])
    failures: list[str] = []
    done = threading.Event()

    def read() -> None:
        # First the name that goes, then the one that comes.
        while not done.is_set():
            current = index.by_id(1)
            if current is None:
                failures.append("the row is missing")

    reader = threading.Thread(target=read)
    reader.start()
    names = ("even", "odd")
    for turn in range(5000):
        old = index.by_key(names[turn % 2])
        assert old is not None
        index.replace(old, row(1, names[(turn + 1) % 2]))
    done.set()
    reader.join()

    assert failures == []
    assert index.keys() == ["even"]


def test_counts_follow_parents_and_layers() -> None:
    index = SnapshotIndex()
    base, child = row(1, "base"), row(2, "child", 1, layer_id=7)
    index.add(base)
    index.add(child)

    assert index.child_count(1) == 1
    assert index.is_needed(7)

    index.replace(child, dataclasses.replace(child, parent_id=0, layer_id=2))

    assert index.child_count(1) == 0
    assert not index.is_needed(7)
    index.discard(base)
    assert [found.key for found in index.rows()] == ["child"]
    assert len(index) == 1


def test_questions_about_unknown_numbers_leave_no_trace() -> None:
    index = SnapshotIndex()

    assert index.child_count(5) == 0
    assert not index.is_needed(5)
    assert index.by_id(5) is None
    assert len(index) == 0
