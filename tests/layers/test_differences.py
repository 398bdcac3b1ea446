"""What differs between two images, against trees that are proven on real mounts."""

from __future__ import annotations

import os
import random
from itertools import pairwise
from pathlib import Path

import pytest
from layers.case import Case, tree_of
from layers.table import CASES
from layers.test_conformance import written

from snapfs.inspect.comparison import Field, compare
from support.applied_layers import Item, directory, entry, hard_link, merged, symlink
from support.hand_layers import lay_by_hand
from support.inspected import inspected
from support.tree_metadata import GHOST, Metadata, Tree, read_metadata
from support.unpack_images import layout_of

VIEWS = [case for case in CASES if case.view is not None]

Told = dict[bytes, tuple[str, set[str]]]


def brute_force(before: Tree, after: Tree) -> Told:
    """Compare two trees name by name."""
    told: Told = {}
    for path in before.keys() | after.keys():
        old, new = before.get(path), after.get(path)
        if old is None or new is None:
            told[path] = ("D" if new is None else "A", set())
        elif fields := fields_of(old, new):
            told[path] = ("M", fields)
    return told


def fields_of(old: Metadata, new: Metadata) -> set[str]:
    is_symlink = "symlink" in (old.type, new.type)
    pairs = {
        "type": (old.type, new.type),
        "mode": (0, 0) if is_symlink else (old.mode, new.mode),
        "owner": ((old.uid, old.gid), (new.uid, new.gid)),
        "mtime": (old.mtime_ns, new.mtime_ns),
        "xattrs": (old.xattrs, new.xattrs),
    }
    if old.type == new.type:
        content = "target" if is_symlink else "content"
        pairs |= {
            "size": (old.size, new.size),
            content: (old.content, new.content),
            "device": (old.device, new.device),
        }
    return {name for name, (left, right) in pairs.items() if left != right}


def told_of(first: Path, second: Path, cache: Path) -> Told:
    with inspected(first, cache) as left, inspected(second, cache) as right:
        found = compare(left, right)
    assert len({one.path for one in found}) == len(found)
    return {
        one.path or b".": (one.kind.value, {field.value for field in one.fields})
        for one in found
    }


@pytest.mark.parametrize(
    ("first", "second"),
    [pytest.param(a, b, id=f"{a.id}-{b.id}") for a, b in pairwise(VIEWS)],
)
def test_two_cases_of_the_table_differ_as_their_views_do(
    tmp_path: Path, first: Case, second: Case
) -> None:
    layouts = [
        written(case, tmp_path / name) for case, name in ((first, "a"), (second, "b"))
    ]

    told = told_of(layouts[0], layouts[1], tmp_path / "cache")

    assert first.view is not None
    assert second.view is not None
    assert told == brute_force(tree_of(first.view), tree_of(second.view))


NAMES = ("a", "b", "c")


def a_layer(rng: random.Random) -> list[Item]:
    """Return changes to a small tree, of every sort; each name is given once."""
    items: list[Item] = [directory("./", mtime=rng.choice((1, 2)))]
    files: list[str] = []
    for top in rng.sample(NAMES, 2):
        if rng.random() < 0.25:
            items.append(rng.choice((entry(f".wh.{top}"), symlink(top, "there"))))
            continue
        items.append(directory(top, rng.choice((0o755, 0o700)), mtime=1))
        if rng.random() < 0.2:
            items.append(entry(f"{top}/.wh..wh..opq"))
        for name in NAMES:
            path = f"{top}/{name}"
            match rng.randrange(7):
                case 0 | 1:
                    owner = rng.choice(((0, 0), (1, 2)))
                    text = rng.choice((b"", b"one", b"two"))
                    items.append(entry(path, text, owner=owner, mtime="3.5"))
                    files.append(path)
                case 2 if files:
                    items.append(hard_link(path, rng.choice(files)))
                case 3:
                    items.append(entry(f"{top}/.wh.{name}"))
                case 4:
                    items += [directory(path), entry(f"{path}/deep", b"deep")]
    return items


def mounted_view(place: Path, layers: list[list[Item]]) -> Tree:
    """Return what the kernel shows of layers that are laid out by hand."""
    place.mkdir()
    directories = [place / str(number) for number in range(len(layers))]
    for directory_, items in zip(directories, layers, strict=True):
        lay_by_hand(directory_, items)
    with merged(place / "merged", *reversed(directories)) as target:
        view = read_metadata(os.fsencode(target))
    # A whiteout of nothing is listed by the kernel, and is not there.
    return {path: meta for path, meta in view.items() if meta.type != GHOST}


@pytest.mark.root
@pytest.mark.parametrize(
    "seeds",
    [
        pytest.param(range(15), id="few"),
        pytest.param(range(15, 300), id="many", marks=pytest.mark.full),
    ],
)
def test_random_images_differ_as_their_mounts_do(tmp_path: Path, seeds: range) -> None:
    for seed in seeds:
        rng = random.Random(seed)
        shared = [a_layer(rng) for _ in range(rng.randrange(3))]
        layouts, views = [], []
        for side in "ab":
            layers = [*shared, *(a_layer(rng) for _ in range(rng.randrange(1, 3)))]
            layouts.append(layout_of(tmp_path / f"{seed}{side}", *layers))
            views.append(mounted_view(tmp_path / f"{seed}{side}-mounted", layers))

        told = told_of(layouts[0], layouts[1], tmp_path / "cache")

        assert told == brute_force(views[0], views[1]), seed


def test_layers_that_both_images_have_are_not_read(tmp_path: Path) -> None:
    base = [directory("d"), entry("d/f", b"same"), entry("g", b"gone")]
    tops = ([entry("own", b"1")], [entry("own", b"2"), entry(".wh.g")])
    layouts = [
        layout_of(tmp_path / str(number), base, top) for number, top in enumerate(tops)
    ]
    with inspected(layouts[0], tmp_path / "c") as left:
        first = left.layers[0].digest
    for layout in layouts:
        (layout / "blobs" / first.replace(":", "/")).unlink()

    told = told_of(layouts[0], layouts[1], tmp_path / "c")

    assert told == {b"own": ("M", {"content"}), b"g": ("D", set())}


def test_equal_files_in_different_layers_are_told_equal(tmp_path: Path) -> None:
    whole = [directory("d"), *(entry(f"d/{n}", b"%d" % n) for n in range(20))]
    first = layout_of(tmp_path / "a", whole)
    second = layout_of(tmp_path / "b", whole[:9], [whole[0], *whole[9:]])

    assert told_of(first, second, tmp_path / "c") == {}


def test_what_is_ignored_is_not_told(tmp_path: Path) -> None:
    first = layout_of(tmp_path / "a", [entry("f", b"1"), entry("g", b"1", mtime=5)])
    second = layout_of(tmp_path / "b", [entry("f", b"2"), entry("g", b"1", mtime=6)])

    with inspected(first, tmp_path / "c") as a, inspected(second, tmp_path / "c") as b:
        found = compare(a, b, ignored=[Field.MTIME])
        nothing = compare(a, b, ignored=[Field.MTIME, Field.CONTENT])

    assert [(one.path, one.fields) for one in found] == [(b"f", (Field.CONTENT,))]
    assert nothing == []
