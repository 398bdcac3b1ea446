"""The terminal interface, driven by keys on a screen of 80 columns and 24 lines."""

from __future__ import annotations

import asyncio
import importlib.util
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("textual", reason="the extra 'tui' is not installed")

from textual.pilot import Pilot
from textual.widgets import Input

from snapfs.cli.explorer.app import Explorer
from snapfs.cli.explorer.panes import FileTree
from snapfs.cli.explorer.screens import ContentScreen, FindingRows, HelpScreen
from snapfs.inspect.inspection import Inspection
from support.applied_layers import entry
from support.inspected import inspected
from support.mounted_images import write_layout

from .conftest import CommandLine

SIZE = (80, 24)

Script = Callable[[Pilot[None]], Awaitable[None]]


@pytest.fixture
def inspection(tmp_path: Path) -> Iterator[Inspection]:
    with inspected(write_layout(tmp_path / "layout"), tmp_path / "cache") as found:
        yield found


def drive(inspection: Inspection, script: Script) -> None:
    """Run the interface, and ``script`` on it."""

    async def run() -> None:
        async with Explorer(inspection).run_test(size=SIZE) as pilot:
            await pilot.pause()
            await script(pilot)

    asyncio.run(run())


def screen(pilot: Pilot[None]) -> list[str]:
    """Return the lines that a person sees."""
    strips = pilot.app.screen._compositor.render_strips()
    return [strip.text.rstrip() for strip in strips]


def tree_lines(pilot: Pilot[None]) -> list[str]:
    """Return all lines of the tree, also those that are out of sight."""
    tree = pilot.app.screen_stack[0].query_one(FileTree)
    return [" ".join(tree.row_text(n).plain.split()) for n in range(tree.row_count())]


async def press(pilot: Pilot[None], *keys: str) -> None:
    for key in keys:
        await pilot.press(key)
        app = pilot.app
        assert isinstance(app, Explorer)
        while app.background.is_busy:
            await pilot.pause(0.01)
        await pilot.pause()


async def answer(pilot: Pilot[None], text: str) -> None:
    pilot.app.screen.query_one(Input).value = text
    await press(pilot, "enter")


TOP = [
    "~ 50 B big",
    "97.7 KiB big-too",
    "~ > d/",
    "> f/",
    "- 6 B h1",
    "6 B h2",
    "+ > new/",
    "10 B to-d",
    "to-f -> f",
]


def test_the_first_screen_shows_layers_tree_details_and_keys(
    inspection: Inspection,
) -> None:
    async def script(pilot: Pilot[None]) -> None:
        lines = screen(pilot)

        assert tree_lines(pilot) == TOP
        assert lines[0].startswith("as of layer 3")
        assert [line.split()[0] for line in lines[1:4]] == ["1", "2", "3"]
        assert any(line.startswith("/big") for line in lines)
        assert any(line.startswith("changed by this layer") for line in lines)
        assert any(line.startswith("from layer 3: layer 2") for line in lines)
        assert "? keys" in lines[-1]
        assert "q quit" in lines[-1]
        assert len(lines) == SIZE[1]
        assert all(len(line) <= SIZE[0] for line in lines)

    drive(inspection, script)


def test_changes_have_their_colours(inspection: Inspection) -> None:
    async def script(pilot: Pilot[None]) -> None:
        colours = {}
        for strip in pilot.app.screen._compositor.render_strips():
            for segment in strip:
                word = segment.text.strip()
                if segment.style is not None and segment.style.color is not None:
                    colours[word] = segment.style.color

        plain = colours["h2"]
        assert len({colours[w] for w in ("h1", "new/")} | {plain}) == 3
        await press(pilot, "tab", "up", "d", "down", "d")
        findings = pilot.app.screen.query_one(FindingRows).findings
        styles = {f.text.plain[0]: f.text.spans[0].style for f in findings}
        assert len({str(styles[kind]) for kind in "AMD"}) == 3

    drive(inspection, script)


def test_directories_open_and_close(inspection: Inspection) -> None:
    async def script(pilot: Pilot[None]) -> None:
        await press(pilot, "down", "down", "right", "right")
        opened = tree_lines(pilot)
        await press(pilot, "left", "left")

        assert opened[2:5] == ["~ v d/", "+ link -> ../f/within", "> sub/"]
        assert tree_lines(pilot) == TOP
        await press(pilot, "enter")
        assert tree_lines(pilot)[2] == "~ v d/"

    drive(inspection, script)


def test_another_layer_shows_another_tree(inspection: Inspection) -> None:
    async def script(pilot: Pilot[None]) -> None:
        await press(pilot, "tab", "up", "up")

        assert tree_lines(pilot)[:3] == ["+ > d/", "+ 4 B f", "+ 6 B h1"]
        assert screen(pilot)[0].startswith("as of layer 1")
        assert any("in 9 entries" in line for line in screen(pilot))

    drive(inspection, script)


def test_a_layer_alone_and_its_changes_alone(inspection: Inspection) -> None:
    async def script(pilot: Pilot[None]) -> None:
        await press(pilot, "v")
        alone = tree_lines(pilot)
        await press(pilot, "v", "c")

        assert alone == ["~ 50 B big", "~ > d/", "- h1 (a whiteout)", "+ > new/"]
        assert tree_lines(pilot) == ["~ 50 B big", "~ > d/", "- 6 B h1", "+ > new/"]
        assert "changes only" in screen(pilot)[0]

    drive(inspection, script)


def test_a_file_is_shown_as_text_and_in_hex(inspection: Inspection) -> None:
    async def script(pilot: Pilot[None]) -> None:
        await press(pilot, "enter")
        text = screen(pilot)
        await press(pilot, "x")
        in_hex = screen(pilot)
        await press(pilot, "b", "d", "escape")

        assert text[0].startswith("/big  50 B, as text")
        assert text[1] == "y" * 50
        assert in_hex[0].startswith("/big  50 B, as hex")
        assert in_hex[1].startswith("00000000  79 79 79 79")
        assert screen(pilot)[0].startswith("as of layer 3")

    drive(inspection, script)


def test_a_removed_file_has_no_content_here(inspection: Inspection) -> None:
    async def script(pilot: Pilot[None]) -> None:
        await press(pilot, *["down"] * 4, "enter")

        assert not isinstance(pilot.app.screen, ContentScreen)
        await press(pilot, "tab", "up", "tab")
        assert "6 B h1" in tree_lines(pilot)
        await press(pilot, "enter")
        assert screen(pilot)[1] == "linked"

    drive(inspection, script)


def test_a_path_has_a_history(inspection: Inspection) -> None:
    async def script(pilot: Pilot[None]) -> None:
        await press(pilot, "b")
        lines = screen(pilot)
        await press(pilot, "enter")

        assert lines[0].startswith("history of /big: 2 layers")
        assert lines[1].split()[:2] == ["2", "added"]
        assert lines[2].split()[:2] == ["3", "changed"]
        assert screen(pilot)[0].startswith("as of layer 2")
        assert screen(pilot)[1:4][1].startswith("  2")

    drive(inspection, script)


def test_a_search_leads_to_what_was_found(inspection: Inspection) -> None:
    async def script(pilot: Pilot[None]) -> None:
        await press(pilot, "slash")
        await answer(pilot, "FRESH")
        none = screen(pilot)[0]
        await press(pilot, "escape", "slash")
        await answer(pilot, "fresh")
        some = screen(pilot)[:2]
        await press(pilot, "enter")
        tree = pilot.app.screen.query_one(FileTree)
        row = tree.row
        await press(pilot, "n")

        assert none == "find FRESH: 0 names"
        assert some == ["find fresh: 1 name", "/d/sub/fresh"]
        assert row is not None
        assert row.path == b"d/sub/fresh"
        assert screen(pilot)[0] == "find fresh: 1 name"

    drive(inspection, script)


def test_a_search_matches_names_or_paths(inspection: Inspection) -> None:
    expected = {
        "*e*": ["/d/sub/fresh", "/new/", "/new/é name"],
        "/d/*": ["/d/link", "/d/sub/", "/d/sub/fresh"],
        "[bh]*2": ["/h2"],
        "f/with": ["/f/within"],
        "é": ["/new/é name"],
    }

    async def script(pilot: Pilot[None]) -> None:
        for words, paths in expected.items():
            await press(pilot, "slash")
            await answer(pilot, words)
            findings = pilot.app.screen.query_one(FindingRows).findings
            assert [finding.text.plain for finding in findings] == paths
            await press(pilot, "escape")

    drive(inspection, script)


def test_waste_is_told_with_its_cause(inspection: Inspection) -> None:
    async def script(pilot: Pilot[None]) -> None:
        await press(pilot, "w")
        lines = screen(pilot)
        chosen = next(n for n, line in enumerate(lines) if "/d/old" in line)
        await press(pilot, *["down"] * (chosen - 1), "enter")

        assert lines[0].startswith("what the image could spare: ")
        assert "deleted" in lines[chosen]
        assert screen(pilot)[0].startswith("as of layer 1")
        row = pilot.app.screen.query_one(FileTree).row
        assert row is not None
        assert row.path == b"d/old"

    drive(inspection, script)


def test_two_layers_are_compared(inspection: Inspection) -> None:
    async def script(pilot: Pilot[None]) -> None:
        await press(pilot, "tab", "up", "d")
        marked = screen(pilot)[0]
        await press(pilot, "down", "d")
        lines = screen(pilot)

        assert "diff from layer 2" in marked
        assert lines[0].startswith("from layer 2 to layer 3: ")
        assert {line.split("  ")[0] for line in lines[1:-1] if line} == {
            "M /big",
            "M /d",
            "A /d/link",
            "D /h1",
            "A /new",
            "A /new/é name",
        }
        await press(pilot, "escape", "d", "d")
        assert screen(pilot)[0] == "as of layer 3  image"

    drive(inspection, script)


def test_a_file_is_copied_out_once(inspection: Inspection, tmp_path: Path) -> None:
    async def script(pilot: Pilot[None]) -> None:
        await press(pilot, "e")
        await answer(pilot, str(tmp_path / "copy"))
        await press(pilot, "e")
        await answer(pilot, str(tmp_path / "copy"))
        await press(pilot, "e")
        await answer(pilot, str(tmp_path))
        await press(pilot, "e", "escape")

        assert any("is there" in note.message for note in pilot.app._notifications)

    drive(inspection, script)

    assert (tmp_path / "copy").read_bytes() == b"y" * 50
    assert (tmp_path / "big").read_bytes() == b"y" * 50


def test_the_size_of_a_directory_is_told_on_request(inspection: Inspection) -> None:
    async def script(pilot: Pilot[None]) -> None:
        await press(pilot, "down", "down", "s")

        notes = [note.message for note in pilot.app._notifications]
        assert notes == ["/d: 5 B in 1 file"]

    drive(inspection, script)


def test_the_keys_are_explained_on_one_screen(inspection: Inspection) -> None:
    async def script(pilot: Pilot[None]) -> None:
        await press(pilot, "question_mark")
        shown = "\n".join(screen(pilot))

        assert isinstance(pilot.app.screen, HelpScreen)
        for word in ("blame", "waste", "extract", "hex", "differs", "+ added"):
            assert word in shown
        await press(pilot, "escape", "q")
        assert not pilot.app.is_running

    drive(inspection, script)


def test_names_and_contents_never_reach_the_terminal_raw(tmp_path: Path) -> None:
    layers = [[entry("a\x1b[31mred", b"\x1b]0;title\x07")], [entry("\udcff", b"")]]

    async def script(pilot: Pilot[None]) -> None:
        await press(pilot, "enter")
        shown = screen(pilot)
        await press(pilot, "escape", "b", "escape")

        assert shown[1] == "\\x1b]0;title\\x07"
        assert tree_lines(pilot)[0].endswith("a\\x1b[31mred")
        assert tree_lines(pilot)[1].endswith("\\xff")

    layout = write_layout(tmp_path / "layout", layers)
    with inspected(layout, tmp_path / "cache") as inspection:
        drive(inspection, script)


def test_a_movement_draws_no_more_lines_than_the_screen_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [entry(f"flat/{number:04}") for number in range(5_000)]
    drawn = []
    row_text = FileTree.row_text

    def counted(tree: FileTree, number: int) -> object:
        drawn.append(number)
        return row_text(tree, number)

    monkeypatch.setattr(FileTree, "row_text", counted)

    async def script(pilot: Pilot[None]) -> None:
        await press(pilot, "enter")
        for key in ("end", "pageup", "up", "home", "pagedown"):
            drawn.clear()
            await press(pilot, key)
            # Once for the movement, and once more for the scrolling that follows.
            assert 0 < len(drawn) <= 4 * SIZE[1], key

    layout = write_layout(tmp_path / "layout", [many])
    with inspected(layout, tmp_path / "cache") as inspection:
        drive(inspection, script)


def test_nothing_but_the_interface_loads_textual() -> None:
    script = "import snapfs.cli.explore, sys; sys.exit('textual' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_without_textual_the_command_says_what_to_install(
    snapfs: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)

    outcome = snapfs("explore", "oci:/no/such")

    assert (outcome.code, outcome.err.count("\n")) == (6, 1)
    assert "pip install textual" in outcome.err


def test_without_a_terminal_the_command_says_so(snapfs: CommandLine) -> None:
    outcome = snapfs("explore", "oci:/no/such")

    assert (outcome.code, outcome.err.count("\n")) == (6, 1)
    assert "needs a terminal" in outcome.err
