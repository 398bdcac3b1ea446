"""The rows of the terminal interface's tree, against the merged trees themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs.cli.explorer.content import (
    LIMIT_BYTES,
    head_of,
    hex_line,
    hex_line_count,
    is_binary,
    text_lines,
)
from snapfs.cli.explorer.tree_model import TreeModel, View
from snapfs.inspect.changes import ChangeKind, layer_changes
from snapfs.inspect.inspection import Inspection
from snapfs.inspect.merged import MergedTree
from support.inspected import inspected
from support.mounted_images import LAYERS, write_layout

pytest.importorskip("textual", reason="the extra 'tui' is not installed")


@pytest.fixture
def inspection(tmp_path: Path) -> Iterator[Inspection]:
    with inspected(write_layout(tmp_path / "layout"), tmp_path / "cache") as found:
        yield found


def opened_wide(model: TreeModel) -> TreeModel:
    """Open every directory there is, one after the other."""
    position = 0
    while position < len(model.rows):
        if model.rows[position].is_directory and not model.rows[position].is_open:
            model.toggle(position)
        position += 1
    return model


@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_open_tree_is_the_merged_tree_and_what_the_layer_removed(
    inspection: Inspection, number: int
) -> None:
    model = opened_wide(TreeModel(inspection, number, View.MERGED, set()))

    shown = {row.path for row in model.rows if row.place is not None}
    assert shown == {place.path for place in inspection.tree(at=number).walk()}
    below = MergedTree([layer.index for layer in inspection.layers[: number - 1]])
    changes = {
        (change.path, change.kind)
        for change in layer_changes(below, inspection.layers[number - 1].index)
        if change.path
    }
    told = {(row.path, row.change) for row in model.rows if row.change is not None}
    assert told == changes


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_layer_alone_shows_all_that_its_tar_names(
    inspection: Inspection, number: int
) -> None:
    model = opened_wide(TreeModel(inspection, number, View.LAYER, set()))

    named = {
        info.name.removeprefix("./").strip("/").replace(".wh.", "").encode()
        for info, _ in LAYERS[number - 1]
        if not info.name.endswith(".wh..wh..opq")
    } - {b""}
    assert {row.path for row in model.rows} == named
    gone = {row.path for row in model.rows if row.change is ChangeKind.REMOVED}
    assert gone == {1: set(), 2: {b"d/old"}, 3: {b"h1"}}[number]


@pytest.mark.parametrize("view", list(View))
def test_only_changes_are_shown_on_request(inspection: Inspection, view: View) -> None:
    model = opened_wide(TreeModel(inspection, 3, view, set(), is_filtered=True))

    assert {row.path for row in model.rows} == {
        b"big",
        b"d",
        b"d/link",
        b"h1",
        b"new",
        "new/é name".encode(),
    }


def test_opening_and_closing_leaves_the_rows_as_they_were(
    inspection: Inspection,
) -> None:
    opened: set[bytes] = set()
    model = TreeModel(inspection, 2, View.MERGED, opened)
    before = [row.path for row in model.rows]
    place = next(n for n, row in enumerate(model.rows) if row.path == b"d")

    model.toggle(place)
    inside = [row.path for row in model.rows[place + 1 : place + 3]]
    model.toggle(place)

    assert inside == [b"d/old", b"d/sub"]
    assert [row.path for row in model.rows] == before
    assert opened == set()


def test_what_is_open_stays_open_in_the_tree_of_another_layer(
    inspection: Inspection,
) -> None:
    opened: set[bytes] = set()
    first = TreeModel(inspection, 1, View.MERGED, opened)
    position = first.reveal(b"d/sub/deep")

    third = TreeModel(inspection, 3, View.MERGED, opened)
    near = third.reveal(b"d/sub/deep")

    assert first.rows[position].path == b"d/sub/deep"
    assert first.rows[first.parent(position)].path == b"d/sub"
    # It is no more; the directory that it was in comes nearest.
    assert third.rows[near].path == b"d/sub"
    assert b"d/sub/fresh" in {row.path for row in third.rows}


def test_an_empty_layer_has_no_rows(tmp_path: Path) -> None:
    layout = write_layout(tmp_path / "layout", [[], LAYERS[0]])

    with inspected(layout, tmp_path / "cache") as inspection:
        model = TreeModel(inspection, 1, View.MERGED, set())
        assert model.rows == []
        assert model.reveal(b"d/old") == 0
        assert TreeModel(inspection, 2, View.MERGED, set()).rows


def test_hex_lines_are_those_of_hexdump() -> None:
    content = bytes(range(256))[:37]

    lines = [hex_line(content, n) for n in range(hex_line_count(content))]

    assert lines == [
        "00000000  00 01 02 03 04 05 06 07  08 09 0a 0b 0c 0d 0e 0f  |................|",  # noqa: E501
        "00000010  10 11 12 13 14 15 16 17  18 19 1a 1b 1c 1d 1e 1f  |................|",  # noqa: E501
        '00000020  20 21 22 23 24                                    | !"#$|',
    ]
    assert all(len(line) <= 78 for line in lines)
    assert hex_line_count(b"") == 0


def test_text_never_moves_the_cursor() -> None:
    content = b"plain\n\ttab\x1b[31m\r\n\xff\xfe \xc3\xa9"

    assert text_lines(content) == [
        "plain",
        "        tab\\x1b[31m\\r",
        "\\xff\\xfe é",
    ]
    assert text_lines(b"") == [""]
    assert is_binary(b"a\0b")
    assert not is_binary(content)


def test_no_more_is_read_than_is_shown() -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield bytes(3 << 20)

    assert len(head_of(endless())) == LIMIT_BYTES
