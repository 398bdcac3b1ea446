"""Each verb, killed before each of its steps: all or nothing, and nothing else.

A step is a call that changes the disk or a statement to SQLite. What was
acknowledged is there afterwards; what was not is there whole or not at all.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from snapfs.manager import SnapshotManager
from snapfs.model import Info
from support.crashes import run_until_killed
from support.inline import without_worker
from support.stores import commit_layer, fs_of, opened_store

STEPS_LIMIT = 400  # no verb has more; ends a test that never gets through

LONG = {"label": "x" * 3000}  # two of these do not fit into a sidecar's first blocks


@dataclasses.dataclass(frozen=True)
class Verb:
    """A call and how to tell what became of it.

    Attributes:
        call: The call, in a store with what ``populate`` makes.
        reserve: How many directories are made ahead.
    """

    call: Callable[[SnapshotManager], object]
    reserve: int = 0


VERBS = {
    "prepare": Verb(lambda store: store.prepare("new", "top")),
    "prepare-from-the-reserve": Verb(lambda store: store.prepare("new", "top"), 1),
    "prepare-long-labels": Verb(lambda store: store.prepare("new", labels=LONG), 1),
    "view": Verb(lambda store: store.view("new", "top")),
    "commit": Verb(lambda store: store.commit("new", "active")),
    "rebase": Verb(lambda store: store.commit("new", "alone", parent="top")),
    "update": Verb(lambda store: store.update(Info("top", labels={"l": "2"}))),
    "update-long": Verb(lambda store: store.update(Info("top", labels=LONG))),
    "remove-active": Verb(lambda store: store.remove("active")),
    "remove-committed": Verb(lambda store: store.remove("leaf")),
    "usage": Verb(lambda store: store.usage("top")),
    "reclaim": Verb(lambda store: store.reclaim()),
    "open-and-close": Verb(lambda store: store.stat("top")),
}


def populate(root: Path) -> None:
    with opened_store(root) as store:
        without_worker(store)
        commit_layer(store, "base", file="base")
        commit_layer(store, "top", "base", file="top")
        commit_layer(store, "leaf", "top", file="leaf")
        store.prepare("active", "top", labels={"l": "1"})
        (fs_of(store, "active") / "file").write_text("active")
        store.prepare("alone")
        store.prepare("gone")
    (root / "trash/1000/fs").mkdir(parents=True)


@pytest.fixture(scope="module")
def population(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("population") / "store"
    populate(root)
    return root


State = dict[str, tuple[Info, str]]


def state_of(store: SnapshotManager) -> State:
    """Return all that a user sees; times of a retried verb differ."""
    state: State = {}
    for info in store.walk():
        timeless = dataclasses.replace(info, created_ns=0, updated_ns=0)
        file = fs_of(store, info.name) / "file"
        state[info.name] = (timeless, file.read_text() if file.exists() else "")
    return state


@pytest.mark.slow
@pytest.mark.parametrize("name", VERBS)
def test_a_verb_that_is_killed_at_any_step_happened_or_did_not(
    name: str, population: Path, tmp_path: Path
) -> None:
    verb = VERBS[name]
    root = tmp_path / "store"
    before, after = outcomes(verb, population, tmp_path / "unharmed")

    for step in range(1, STEPS_LIMIT):
        shutil.copytree(population, root, symlinks=True)
        came_to_its_end, was_killed = run_until_killed(lambda: run(verb, root), step)

        with opened_store(root) as store:
            without_worker(store)
            assert store.check() == [], step
            assert state_of(store) in ([after] if came_to_its_end else [before, after])
            if state_of(store) == before != after:
                verb.call(store)
            assert state_of(store) == after, step
            store.reclaim()
            assert store.check() == [], step
            assert leftovers(root, store) == [], step
        if not was_killed:
            assert step > 5
            return
        shutil.rmtree(root)
    pytest.fail("the verb never came to its end")


def run(verb: Verb, root: Path) -> None:
    with opened_store(root, reserve_size=verb.reserve) as store:
        without_worker(store)
        if verb.reserve:
            reserve = store.changes._directories._reserve
            assert reserve is not None
            while not reserve._ready:
                os.sched_yield()
        verb.call(store)


def outcomes(verb: Verb, population: Path, root: Path) -> tuple[State, State]:
    """Return what a user sees before and after ``verb``."""
    shutil.copytree(population, root, symlinks=True)
    with opened_store(root) as store:
        without_worker(store)
        before = state_of(store)
        verb.call(store)
        return before, state_of(store)


def leftovers(root: Path, store: SnapshotManager) -> list[str]:
    """Return the directories that no snapshot needs."""
    needed = {Path(store.details(info.name).directory) for info in store.walk()}
    places = (root / name for name in ("snapshots", "staging", "trash", "reserve"))
    found = [path for place in places if place.exists() for path in place.iterdir()]
    return [str(path) for path in found if path not in needed]


def test_a_creation_that_is_killed_at_any_step_is_completed(tmp_path: Path) -> None:
    root = tmp_path / "store"

    def create() -> None:
        with opened_store(root) as store:
            assert len(store.metadata) == 0

    for step in range(1, STEPS_LIMIT):
        _, was_killed = run_until_killed(create, step)

        with opened_store(root) as store:
            store.prepare("a")
            assert store.check() == [], step
        if not was_killed:
            assert step > 20
            return
        shutil.rmtree(root)
    pytest.fail("the creation never came to its end")


@pytest.mark.slow
@pytest.mark.parametrize("first", ["commit", "prepare", "update-long", "remove-active"])
def test_a_recovery_that_is_killed_at_any_step_is_repeated(
    first: str, population: Path, tmp_path: Path
) -> None:
    # The first crash leaves each of its states; the second meets the recovery.
    crashed, root = tmp_path / "crashed", tmp_path / "store"
    before, after = outcomes(VERBS[first], population, tmp_path / "unharmed")
    seen: set[tuple[int, int]] = set()

    for step in range(1, STEPS_LIMIT):
        shutil.copytree(population, crashed, symlinks=True)
        _, was_killed = run_until_killed(lambda: run(VERBS[first], crashed), step)
        if not was_killed:
            assert seen
            return
        # Killing each recovery at one step, a different one each time, is enough.
        shutil.copytree(crashed, root, symlinks=True)
        recovery_step = 1 + step * 3 % 17
        run_until_killed(lambda: run(VERBS["open-and-close"], root), recovery_step)
        seen.add((step, recovery_step))

        with opened_store(root) as store:
            without_worker(store)
            assert store.check() == [], (step, recovery_step)
            assert state_of(store) in (before, after)
        shutil.rmtree(root)
        shutil.rmtree(crashed)
    pytest.fail("the verb never came to its end")
