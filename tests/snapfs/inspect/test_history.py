from __future__ import annotations

from collections import Counter
from pathlib import Path

from snapfs.inspect.changes import ChangeKind, count_changes, layer_changes
from snapfs.inspect.history import history, standings
from support.applied_layers import directory, entry, symlink
from support.inspected import inspected
from support.unpack_images import layout_of

LAYERS = (
    [directory("d"), entry("d/kept", b"1"), entry("d/gone", b"22"), entry("f", b"3")],
    [entry("f", b"3", mode=0o600), directory("d"), entry("d/.wh..wh..opq", b"")],
    [entry("d/kept", b"new"), entry(".wh.f", b""), symlink("to", "d")],
)


def test_the_history_of_a_path_names_every_layer_that_touched_it(
    tmp_path: Path,
) -> None:
    with inspected(layout_of(tmp_path / "i", *LAYERS), tmp_path / "c") as inspection:
        tree = inspection.tree()
        told = {
            path: [(e.layer, e.kind, e.cause, e.fields) for e in history(tree, path)]
            for path in (b"f", b"d/kept", b"d/gone", b"never")
        }

    added, changed, removed = ChangeKind
    assert told == {
        b"f": [
            (0, added, "", ()),
            (1, changed, "", ("mode",)),
            (2, removed, "a whiteout of '/f'", ()),
        ],
        b"d/kept": [
            (0, added, "", ()),
            (1, removed, "'/d' is opaque there", ()),
            (2, added, "", ()),
        ],
        b"d/gone": [(0, added, "", ()), (1, removed, "'/d' is opaque there", ())],
        b"never": [],
    }


def test_what_an_opaque_directory_hides_counts_as_removed(tmp_path: Path) -> None:
    with inspected(layout_of(tmp_path / "i", *LAYERS), tmp_path / "c") as inspection:
        tree = inspection.tree()
        changes = [
            (change.kind, change.path)
            for change in layer_changes(tree.below(1), tree.indexes[1])
        ]

    assert sorted(changes) == [
        (ChangeKind.REMOVED, b"d/gone"),
        (ChangeKind.REMOVED, b"d/kept"),
        (ChangeKind.CHANGED, b"f"),
    ]


def test_what_an_opaque_directory_gives_anew_hides_what_was_in_it(
    tmp_path: Path,
) -> None:
    below = [directory("a"), directory("a/b"), entry("a/b/old", b"1")]
    above = [
        *(directory("a"), entry("a/.wh..wh..opq", b"")),
        *(directory("a/b"), entry("a/b/new", b"2")),
    ]
    layout = layout_of(tmp_path / "i", below, above)

    with inspected(layout, tmp_path / "c") as inspection:
        tree = inspection.tree()
        changes = [
            (change.kind, change.path)
            for change in layer_changes(tree.below(1), tree.indexes[1])
        ]

    assert sorted(changes) == [
        (ChangeKind.ADDED, b"a/b/new"),
        (ChangeKind.REMOVED, b"a/b/old"),
    ]


def test_each_layer_is_told_whether_it_is_shown_or_what_hides_it(
    tmp_path: Path,
) -> None:
    with inspected(layout_of(tmp_path / "i", *LAYERS), tmp_path / "c") as inspection:
        rows = [
            (row.layer, row.has, row.fate, row.cause)
            for row in standings(inspection.tree(), b"d/kept")
        ]

    assert rows == [
        (2, "a file", "shown", ""),
        (1, "", "", ""),
        (0, "a file", "hidden", "by layer 2: '/d' is opaque there"),
    ]


def test_changes_are_counted_as_they_are_told(tmp_path: Path) -> None:
    lowest = [*LAYERS[0], entry(".wh.never", b""), entry("e/implied", b"")]
    layout = layout_of(tmp_path / "i", lowest, *LAYERS[1:])

    with inspected(layout, tmp_path / "c") as inspection:
        tree = inspection.tree()
        for number, index in enumerate(tree.indexes):
            below = tree.below(number)
            told = Counter(change.kind for change in layer_changes(below, index))
            assert count_changes(below, index) == told
            assert told
