"""Many callers at once: each call is whole, and one of equals wins."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from conformance.population import commit_empty, listing, names, remove_all
from snapfs.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    NotFoundError,
    SnapfsError,
)
from snapfs.model import Info, Kind
from snapfs.snapshotter import Snapshotter

THREADS = 16
ROUNDS = 12


def outcomes(call: Callable[[int], object]) -> Counter[str]:
    """Make ``call(0)``, ``call(1)`` and so on at once; count how they end."""
    gate = threading.Barrier(THREADS)

    def attempt(number: int) -> str:
        gate.wait()
        try:
            call(number)
        except SnapfsError as error:
            return type(error).__name__
        return "done"

    with ThreadPoolExecutor(THREADS) as pool:
        return Counter(pool.map(attempt, range(THREADS)))


def one_winner(loser: type[SnapfsError]) -> Counter[str]:
    return Counter({"done": 1, loser.__name__: THREADS - 1})


def test_one_of_many_prepares_the_same_key(snapshots: Snapshotter) -> None:
    commit_empty(snapshots, "base")

    ends = outcomes(
        lambda number: snapshots.prepare("key", "base", {"thread": str(number)})
    )

    assert ends == one_winner(AlreadyExistsError)
    assert len(snapshots.stat("key").labels) == 1
    assert snapshots.mounts("key")


def test_one_of_many_commits_to_the_same_name(snapshots: Snapshotter) -> None:
    for number in range(THREADS):
        snapshots.prepare(f"key-{number}")

    ends = outcomes(lambda number: snapshots.commit("name", f"key-{number}"))

    assert ends == one_winner(AlreadyExistsError)
    assert len(names(snapshots, "kind==active")) == THREADS - 1
    assert names(snapshots, "kind==committed") == ["name"]


def test_one_of_many_commits_the_same_key(snapshots: Snapshotter) -> None:
    snapshots.prepare("key")

    ends = outcomes(lambda number: snapshots.commit(f"name-{number}", "key"))

    assert ends == one_winner(NotFoundError)
    assert len(listing(snapshots)) == 1


def test_one_of_many_removes_the_same_snapshot(snapshots: Snapshotter) -> None:
    snapshots.prepare("key")

    ends = outcomes(lambda _: snapshots.remove("key"))

    assert ends == one_winner(NotFoundError)
    assert names(snapshots) == []


def test_a_parent_is_removed_or_gets_children_but_not_both(
    snapshots: Snapshotter,
) -> None:
    """NotFoundError makes containerd fetch the parent; see pkg/rootfs/apply.go."""

    def remove_or_prepare(thread: int) -> None:
        if thread == THREADS // 2:
            snapshots.remove("parent")
        else:
            snapshots.prepare(f"child-{thread}", "parent")

    for _ in range(2 * ROUNDS):
        commit_empty(snapshots, "parent")

        ends = outcomes(remove_or_prepare)

        children = names(snapshots, "parent==parent")
        if children:
            assert ends == {"done": THREADS - 1, "FailedPreconditionError": 1}
        else:
            assert ends == one_winner(NotFoundError)
        remove_all(snapshots)


def test_what_is_being_removed_is_there_or_not_found(snapshots: Snapshotter) -> None:
    def remove_or_ask(thread: int) -> None:
        for number in range(ROUNDS):
            key = f"key-{number}-{thread // 4}"
            try:
                if thread % 4 == 0:
                    snapshots.prepare(key)
                    snapshots.remove(key)
                else:
                    (snapshots.stat, snapshots.mounts, snapshots.usage)[thread % 4 - 1](
                        key
                    )
            except NotFoundError:
                continue

    assert outcomes(remove_or_ask) == Counter({"done": THREADS})


class Storm:
    """Threads that prepare, view, commit, update and remove on shared names."""

    def __init__(self, snapshots: Snapshotter) -> None:
        self._snapshots = snapshots
        self._committed: list[str] = []

    def work(self, thread: int) -> None:
        choice = random.Random(thread)
        for number in range(ROUNDS):
            try:
                self._grow(f"{thread}-{number}", choice)
                self._shrink(choice)
            except (NotFoundError, FailedPreconditionError):
                continue  # another thread removed the parent, or built on the name

    def _grow(self, suffix: str, choice: random.Random) -> None:
        parent = choice.choice(["", *self._committed])
        self._snapshots.prepare(f"active-{suffix}", parent)
        if choice.random() < 0.3:
            self._snapshots.view(f"view-{suffix}", parent)
        self._snapshots.commit(f"name-{suffix}", f"active-{suffix}", {"l": suffix})
        self._committed.append(f"name-{suffix}")

    def _shrink(self, choice: random.Random) -> None:
        name = choice.choice(self._committed)
        if choice.random() < 0.5:
            self._snapshots.remove(name)
        else:
            self._snapshots.update(Info(name, labels={"l": "updated"}), ["labels.l"])


def test_a_storm_leaves_a_consistent_store(snapshots: Snapshotter) -> None:
    assert outcomes(Storm(snapshots).work) == Counter({"done": THREADS})

    infos = {info.name: info for info in snapshots.walk()}
    for info in infos.values():
        assert snapshots.stat(info.name) == info
        assert not info.parent or infos[info.parent].kind is Kind.COMMITTED
    remove_all(snapshots)
    assert names(snapshots) == []


def test_a_listing_during_a_storm_is_whole(snapshots: Snapshotter) -> None:
    """Children are listed with their parents: the state at one moment."""
    storm, torn = Storm(snapshots), list[set[str]]()

    def work_or_list(thread: int) -> None:
        if thread % 4:
            storm.work(thread)
            return
        for _ in range(ROUNDS):
            infos = list(snapshots.walk())
            parents = {info.parent for info in infos if info.parent}
            torn.append(parents - {info.name for info in infos})

    assert outcomes(work_or_list) == Counter({"done": THREADS})

    assert not any(torn)
