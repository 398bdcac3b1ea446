"""Work on a store that reports what it is about to do and what was acknowledged.

For whoever cuts it off. What is written into a snapshot follows from its name, so
that a reader knows what must be there.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

from snapfs.manager import SnapshotManager
from snapfs.model import Durability, Kind, NewLayer
from snapfs.state.staged import StagedDirectory
from support.inline import without_worker
from support.stores import fs_of, opened_store

Report = Callable[[str], object]


def contents(name: str) -> dict[str, bytes]:
    """Return the files of the snapshot ``name``, by path."""
    chance = random.Random(name)
    found = {}
    for number in range(chance.randrange(1, 6)):
        size = chance.choice((0, 1, 700, 5_000, 70_000))
        folder = chance.choice(("", "a/", "a/b/"))
        found[f"{folder}{number}"] = chance.randbytes(size)
    return found


def fill(fs: Path, name: str) -> None:
    """Write the files of ``name`` below ``fs``."""
    for path, data in contents(name).items():
        (fs / path).parent.mkdir(parents=True, exist_ok=True)
        (fs / path).write_bytes(data)


def storm(root: Path, durability: Durability, seed: str, report: Report) -> None:
    """Commit, publish, remove and reclaim; ``report`` hears of it."""
    chance = random.Random(seed)
    with opened_store(root, durability=durability) as store:
        without_worker(store)
        committed: list[str] = []
        for turn in range(10_000):
            name = f"{seed}-{turn}"
            verb = chance.choice(("commit", "commit", "publish", "remove", "reclaim"))
            if verb == "remove":
                if not committed:
                    continue
                name = committed.pop(chance.randrange(len(committed)))
            report(f"? {verb} {name}")
            _perform(store, verb, name)
            report(f"! {verb} {name}")
            if verb in ("commit", "publish"):
                committed.append(name)


def _perform(store: SnapshotManager, verb: str, name: str) -> None:
    if verb == "commit":
        store.prepare(f"making {name}")
        fill(fs_of(store, f"making {name}"), name)
        store.commit(name, f"making {name}")
    elif verb == "publish":
        _publish(store, name)
    elif verb == "remove":
        store.remove(name)
    else:
        store.reclaim()


def _publish(store: SnapshotManager, name: str) -> None:
    """Make two layers as an unpack does: one sync, one transaction for both."""
    names = (f"below {name}", name)
    layers: list[NewLayer] = []
    with contextlib.ExitStack() as held:
        for layer, number in zip(names, store.stage(2), strict=True):
            directory = StagedDirectory.create(store._parts.paths, number)
            held.callback(directory.release)
            os.close(directory.make_fs())
            fs = Path(store._parts.paths.staging, str(number), "fs")
            fill(fs, layer)
            parent = layers[-1].name if layers else ""
            layers.append(NewLayer(layer, number, parent))
        store.publish(layers)


class Ledger:
    """What must be, may be and must not be, after some reports."""

    def __init__(self, reports: list[str]) -> None:
        self.present: set[str] = set()
        self.gone: set[str] = set()
        self.open: set[str] = set()
        under_way: tuple[str, str] | None = None
        for line in reports:
            sign, verb, name = line.split(" ", 2)
            under_way = (verb, name) if sign == "?" else None
            if sign == "!":
                self._count(verb, name)
        if under_way is not None:
            verb, name = under_way
            self.open = set(_names_of(verb, name))
            self.present -= self.open
            self.gone -= self.open

    def _count(self, verb: str, name: str) -> None:
        if verb == "remove":
            self.present.discard(name)
            self.gone.add(name)
        else:
            self.present.update(_names_of(verb, name))


def _names_of(verb: str, name: str) -> tuple[str, ...]:
    if verb == "publish":
        return (f"below {name}", name)
    return () if verb == "reclaim" else (name,)


def faults(root: Path, reports: list[str]) -> Iterator[str]:
    """Yield what is wrong with the store in ``root`` after ``reports``."""
    ledger = Ledger(reports)
    with opened_store(root) as store:
        without_worker(store)
        for finding in store.check():
            # What nobody needs is no damage: the next reclaim takes it.
            if finding.code != "orphan":
                yield f"check: {finding}"
        found = {i.name for i in store.walk() if i.kind is Kind.COMMITTED}
        yield from (f"lost: {name}" for name in ledger.present - found)
        yield from (f"came back: {name}" for name in ledger.gone & found)
        known = ledger.present | ledger.open
        yield from (f"from nowhere: {name}" for name in found - known)
        for name in found & known:
            yield from damage(fs_of(store, name), name)
        store.reclaim()
        yield from (f"after reclaim: {finding}" for finding in store.check())


def damage(fs: Path, name: str) -> Iterator[str]:
    """Yield what the files below ``fs`` lack of what :func:`fill` wrote."""
    for path, data in contents(name).items():
        try:
            read = (fs / path).read_bytes()
        except OSError as error:
            yield f"{name}: {path}: {error.strerror}"
        else:
            if read != data:
                yield f"{name}: {path} has {len(read)} bytes, wrote {len(data)}"
