"""The waste of an image against a count that unpacks its layers by brute force."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from snapfs.inspect.efficiency import measure
from snapfs.inspect.waste import Cause, find_waste
from support.applied_layers import Item, directory, entry, hard_link
from support.inspected import inspected
from support.unpack_images import layout_of

DIRECTORIES = ("a", "a/b", "c")
CONTENTS = (b"", b"1", b"22", b"33", b"4444", b"5555")
PATHS = [f"{d}/{n}" for d in DIRECTORIES for n in "xyz"]


class Unpacked:
    """The layers laid on each other in a dictionary; a body is a number."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.shown: dict[str, int] = {}
        self.wasted: Counter[Cause] = Counter()

    def apply(self, items: list[Item]) -> None:
        before = dict(self.shown)
        for info, content in items:
            parent, _, name = info.name.rpartition("/")
            if name == ".wh..wh..opq":
                self._drop(parent)
            elif name.startswith(".wh."):
                self._drop(f"{parent}/{name[4:]}")
            elif info.islnk():
                self.shown[info.name] = self.shown[info.linkname]
            elif info.isreg():
                self.shown[info.name] = len(self.bodies)
                self.bodies.append(content)
        for body in set(before.values()) - set(self.shown.values()):
            names = sorted(path for path, b in before.items() if b == body)
            # Of several names the last decides.
            new = self.shown.get(names[-1])
            cause = Cause.DELETED if new is None else Cause.OVERWRITTEN
            if new is not None and self.bodies[new] == self.bodies[body]:
                cause = Cause.ATTRIBUTES
            self.wasted[cause] += len(self.bodies[body])

    def finish(self) -> Counter[Cause]:
        seen = [self.bodies[body] for body in set(self.shown.values())]
        self.wasted[Cause.DUPLICATE] += sum(map(len, seen)) - sum(map(len, set(seen)))
        return +self.wasted

    def _drop(self, top: str) -> None:
        for path in [p for p in self.shown if p == top or p.startswith(f"{top}/")]:
            del self.shown[path]


def a_layer(rng: random.Random, shown: set[str]) -> list[Item]:
    marks: list[Item] = []
    gone: set[str] = set()
    for name in DIRECTORIES:
        if rng.random() < 0.2:
            marks += [directory(name), entry(f"{name}/.wh..wh..opq")]
            gone |= {path for path in PATHS if path.startswith(f"{name}/")}
    files: list[Item] = []
    own: list[str] = []
    for path in PATHS:
        parent, _, name = path.rpartition("/")
        chance = rng.random()
        if chance < 0.3:
            mode = rng.choice((0o644, 0o600))
            files.append(entry(path, rng.choice(CONTENTS), mode=mode))
            own.append(path)
        elif chance < 0.4 and own:
            files.append(hard_link(path, rng.choice(own)))
        elif chance < 0.5 and path in shown - gone:
            marks.append(entry(f"{parent}/.wh.{name}"))
    return marks + files


@pytest.mark.parametrize("seed", range(40))
def test_waste_by_cause_is_what_a_brute_force_count_finds(
    tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    unpacked = Unpacked()
    layers = []
    for _ in range(4):
        layers.append(a_layer(rng, set(unpacked.shown)))
        unpacked.apply(layers[-1])

    with inspected(layout_of(tmp_path / "i", *layers), tmp_path / "c") as inspection:
        found = find_waste(inspection)
        measured = measure(inspection)

    wasted: Counter[Cause] = Counter()
    for one in found:
        wasted[one.cause] += one.size_bytes
    total = sum(map(len, unpacked.bodies))
    kept = {unpacked.bodies[body] for body in unpacked.shown.values()}
    assert +wasted == unpacked.finish()
    assert wasted.total() <= total - sum(map(len, kept))
    assert measured.stored_bytes == total
    assert measured.wasted_bytes == wasted.total() - wasted[Cause.DUPLICATE]


def test_a_file_stored_three_times_wastes_two_copies_not_three(tmp_path: Path) -> None:
    layers = [[entry("f", b"x" * 100, mode=mode)] for mode in (0o644, 0o600, 0o640)]

    with inspected(layout_of(tmp_path / "i", *layers), tmp_path / "c") as inspection:
        found = [(w.layer, w.size_bytes, w.cause) for w in find_waste(inspection)]

    assert found == [(0, 100, Cause.ATTRIBUTES), (1, 100, Cause.ATTRIBUTES)]


def test_a_file_is_kept_while_a_hard_link_in_a_higher_layer_shows_it(
    tmp_path: Path,
) -> None:
    layers = (
        [entry("f", b"x" * 100)],
        [hard_link("g", "f")],
        [entry(".wh.f")],
        [entry(".wh.g")],
    )

    with inspected(layout_of(tmp_path / "i", *layers), tmp_path / "c") as inspection:
        kept = find_waste(type(inspection)("three", inspection.layers[:3]))
        found = [(w.path, w.by_layer, w.cause) for w in find_waste(inspection)]

    assert kept == []
    assert found == [(b"g", 3, Cause.DELETED)]
