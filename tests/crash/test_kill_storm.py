"""kill -9 at random moments of a storm: what was acknowledged is there.

A child runs verbs in several threads and reports each before ("?") and after ("!")
it. It is killed at a moment of our choice; what it acknowledged must have happened,
and of each thread at most the verb under way is open.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from snapfs.manager import SnapshotManager
from snapfs.model import Info, Kind
from support.crashes import forked
from support.inline import without_worker
from support.stores import commit_layer, fs_of, opened_store

THREADS: Final = 3
ROUNDS: Final = 50  # for each of four seeds: 200 kills
FULL_ROUNDS: Final = 1000
LONG: Final = "x" * 1500  # three fill a sidecar's padding

Known = dict[str, tuple[str, str]]  # key to kind and label


def storm(root: Path, round_number: int, writer: int) -> None:
    """Run verbs in several threads until the process is killed."""
    with opened_store(root, reserve_size=round_number % 2 * 4) as store:
        without_worker(store, keep_reclaiming=True)
        workers = [
            threading.Thread(target=churn, args=(store, f"{round_number}-{n}", writer))
            for n in range(THREADS)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()


def churn(store: SnapshotManager, name: str, writer: int) -> None:
    chance = random.Random(name)
    for turn in range(10_000):
        key = f"{name}-{turn}"
        for verb in verbs_of_a_turn(chance):
            os.write(writer, f"? {verb} {key}\n".encode())
            perform(store, verb, key)
            os.write(writer, f"! {verb} {key}\n".encode())


def verbs_of_a_turn(chance: random.Random) -> Iterator[str]:
    yield "prepare"
    for _ in range(chance.randrange(3)):
        yield "update"
    if chance.random() < 0.6:
        yield "commit"
    if chance.random() < 0.5:
        yield "remove"


def perform(store: SnapshotManager, verb: str, key: str) -> None:
    if verb == "prepare":
        store.prepare(key, "base", {"l": "new"})
    elif verb == "update":
        store.update(Info(key, labels={"l": "updated" + LONG}), ["labels.l"])
    elif verb == "commit":
        (fs_of(store, key) / "file").write_text(key)
        store.commit(f"c-{key}", key, {"l": "committed"})
    else:
        committed = store.metadata.find(f"c-{key}")
        store.remove(committed.key if committed else key)


def foretell(known: Known, verb: str, key: str) -> None:
    """Apply one verb to what is known."""
    if verb == "prepare":
        known[key] = ("active", "new")
    elif verb == "update":
        known[key] = ("active", "updated" + LONG)
    elif verb == "commit":
        del known[key]
        known[f"c-{key}"] = ("committed", "committed")
    else:
        known.pop(key, None)
        known.pop(f"c-{key}", None)


def observed(store: SnapshotManager) -> Known:
    return {
        info.name: (info.kind.value, info.labels["l"])
        for info in store.walk()
        if info.name != "base"
    }


def replay(known: Known, lines: list[str]) -> dict[str, str]:
    """Apply what was acknowledged to ``known``; return what was under way."""
    under_way: dict[str, str] = {}
    for line in lines:
        sign, verb, key = line.split()
        if sign == "?":
            under_way[key] = verb
        else:
            del under_way[key]
            foretell(known, verb, key)
    return under_way


def verify(known: Known, under_way: dict[str, str], store: SnapshotManager) -> None:
    """Check the store against what was acknowledged and what may have happened."""
    found = observed(store)
    for key, verb in under_way.items():
        happened = dict(known)
        foretell(happened, verb, key)
        names = (key, f"c-{key}")
        now = {name: found.get(name) for name in names}
        assert now in (
            {name: known.get(name) for name in names},
            {name: happened.get(name) for name in names},
        ), f"{verb} of {key} is half done"
        for name in names:
            known.pop(name, None)
            if name in found:
                known[name] = found[name]
    assert found == known
    for name, (kind, _label) in found.items():
        if kind == Kind.COMMITTED:
            content = (fs_of(store, name) / "file").read_text()
            assert content == name.removeprefix("c-")


def kill_after(reader: int, lines_wanted: int, delay_s: float) -> bytes:
    """Return the report up to a random moment after so many lines."""
    report = b""
    while report.count(b"\n") < lines_wanted:
        report += os.read(reader, 65536)
    time.sleep(delay_s)  # not to wait for anything: to kill between two reports
    return report


def rest_of(reader: int) -> bytes:
    rest = b""
    while data := os.read(reader, 65536):
        rest += data
    return rest


def run_rounds(root: Path, seed: int, rounds: int) -> None:
    chance = random.Random(seed)
    with opened_store(root) as store:
        commit_layer(store, "base")
    known: Known = {}
    for round_number in range(rounds):

        def act(writer: int, number: int = round_number) -> None:
            storm(root, number, writer)

        with forked(act) as (child, reader):
            report = kill_after(reader, chance.randrange(40), chance.random() * 0.004)
            os.kill(child, 9)
            report += rest_of(reader)
        lines = report.decode().split("\n")
        under_way = replay(known, lines[:-1])
        with opened_store(root) as store:
            without_worker(store)
            assert store.check() == [], f"seed {seed}, round {round_number}"
            verify(known, under_way, store)
            if round_number % 10 == 9:
                empty(store, known)
                assert store.check() == []
                assert remaining(root) == 1


def empty(store: SnapshotManager, known: Known) -> None:
    for name in known:
        store.remove(name)
    known.clear()
    store.reclaim()


def remaining(root: Path) -> int:
    """Count the directories of the store, needed or not."""
    places = (root / name for name in ("snapshots", "staging", "trash", "reserve"))
    return sum(len(os.listdir(place)) for place in places if place.exists())


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_nothing_acknowledged_is_lost_to_a_kill(tmp_path: Path, seed: int) -> None:
    run_rounds(tmp_path / "store", seed, ROUNDS)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(100, 104))
def test_nothing_acknowledged_is_lost_to_many_kills(tmp_path: Path, seed: int) -> None:
    run_rounds(tmp_path / "store", seed, FULL_ROUNDS)
