"""Work on a store that reports what it is about to do and what was acknowledged.

For whoever cuts it off. What is written into a snapshot follows from its name, so
that a reader knows what must be there. An image follows from its name, too; its
snapshots are called by their chain IDs.
"""

from __future__ import annotations

import contextlib
import os
import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from demo.make_image import Layer, digest
from snapfs.assembly.content_check import ContentCheck
from snapfs.manager import SnapshotManager
from snapfs.model import Durability, Kind, NewLayer
from snapfs.state.staged import StagedDirectory
from support.applied_layers import Item, directory, entry, tar_of
from support.images import chain_ids
from support.inline import without_worker
from support.stores import fs_of, opened_store
from support.unpack_images import layout_of, unpack

Report = Callable[[str], object]

VERBS: Final = ("commit", "commit", "publish", "unpack", "remove", "reclaim")


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
    """Commit, publish, unpack, remove and reclaim; ``report`` hears of it."""
    chance = random.Random(seed)
    with opened_store(root, durability=durability) as store:
        without_worker(store)
        committed: list[str] = []
        for turn in range(10_000):
            name = f"{seed}-{turn}"
            verb = chance.choice(VERBS)
            if verb == "remove":
                if not committed:
                    continue
                name = committed.pop(chance.randrange(len(committed)))
            report(f"? {verb} {name}")
            _perform(store, verb, name)
            report(f"! {verb} {name}")
            if verb not in ("remove", "reclaim"):
                committed.append(list(snapshots_of(verb, name))[-1])


def _perform(store: SnapshotManager, verb: str, name: str) -> None:
    if verb == "commit":
        store.prepare(f"making {name}")
        fill(fs_of(store, f"making {name}"), name)
        store.commit(name, f"making {name}")
    elif verb == "publish":
        _publish(store, name)
    elif verb == "unpack":
        with tempfile.TemporaryDirectory() as place:  # not on the disk that is cut
            layout = layout_of(Path(place, "image"), *image_of(name))
            unpack(store, layout, durability=store._parts.durability)
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
            staged = StagedDirectory.create(store._parts.paths, number)
            held.callback(staged.release)
            os.close(staged.make_fs())
            fs = Path(store._parts.paths.staging, str(number), "fs")
            fill(fs, layer)
            parent = layers[-1].name if layers else ""
            layers.append(NewLayer(layer, number, parent))
        store.publish(layers)


def image_of(name: str) -> list[list[Item]]:
    """Return the entries of the two layers of the image ``name``."""
    layers = []
    for layer in (f"below {name}", name):
        files = [entry(path, data) for path, data in contents(layer).items()]
        layers.append([directory("a"), directory("a/b"), *files])
    return layers


def snapshots_of(verb: str, name: str) -> dict[str, str]:
    """Return the snapshots that a report is about, with what :func:`contents` takes."""
    below = f"below {name}"
    if verb == "publish":
        return {below: below, name: name}
    if verb == "unpack":
        layers = [Layer("", b"", digest(tar_of(items))) for items in image_of(name)]
        return dict(zip(chain_ids(layers), (below, name), strict=True))
    return {} if verb == "reclaim" else {name: name}


class Ledger:
    """What must be, may be and must not be, after some reports.

    Attributes:
        contents: What :func:`contents` takes for a snapshot, by its name.
    """

    def __init__(self, reports: list[str]) -> None:
        self.present: set[str] = set()
        self.gone: set[str] = set()
        self.open: set[str] = set()
        self.contents: dict[str, str] = {}
        under_way: tuple[str, str] | None = None
        for line in reports:
            sign, verb, name = line.split(" ", 2)
            under_way = (verb, name) if sign == "?" else None
            if sign == "!":
                self._count(verb, name)
        if under_way is not None:
            verb, name = under_way
            self.open = set(self._names_of(verb, name))
            self.present -= self.open
            self.gone -= self.open

    def _count(self, verb: str, name: str) -> None:
        if verb == "remove":
            self.present.discard(name)
            self.gone.add(name)
        else:
            self.present.update(self._names_of(verb, name))

    def _names_of(self, verb: str, name: str) -> list[str]:
        found = snapshots_of(verb, name)
        if verb != "remove":
            self.contents |= found
        return list(found)


def faults(root: Path, reports: list[str]) -> Iterator[str]:
    """Yield what is wrong with the store in ``root`` after ``reports``.

    Among it all that ``check --deep`` finds.
    """
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
            yield from damage(fs_of(store, name), ledger.contents[name])
        deep = ContentCheck(lambda: contextlib.nullcontext(store)).run()
        yield from (f"check --deep: {finding}" for finding in deep.findings)
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
