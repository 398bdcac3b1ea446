"""The bar that a person sees while layers are read, and nobody else."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from snapfs.cli import image_progress
from snapfs.cli.image_progress import CountedSource, ReadingProgress
from snapfs.cli.output import Output
from snapfs.image.layout import open_layout
from snapfs.image.resolve import open_image
from support.applied_layers import entry
from support.unpack_images import layout_of


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def terminal_of(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Make standard error a terminal; in a test, for pytest resets it before."""
    made = Terminal()
    monkeypatch.setattr(sys, "stderr", made)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    return made


@pytest.mark.parametrize("total", [None, 4 << 20])
def test_a_bar_tells_how_much_was_read(
    monkeypatch: pytest.MonkeyPatch, total: int | None
) -> None:
    terminal = terminal_of(monkeypatch)
    monkeypatch.setattr(image_progress, "SILENT_S", 0)

    with ReadingProgress(Output(), "reading layers", total) as progress:
        progress.advance(1 << 20)
        progress.advance(1 << 20)

    shown = terminal.getvalue()
    assert "reading layers" in shown
    assert "2.0" in shown
    assert ("2.0/4.0 MiB" in shown) is (total is not None)


def test_what_is_quick_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_of(monkeypatch)
    monkeypatch.setattr(image_progress, "SILENT_S", 3600)

    with ReadingProgress(Output(), "reading layers", None) as progress:
        progress.advance(1 << 20)

    assert terminal.getvalue() == ""


def test_nothing_is_shown_on_demand_or_where_nobody_looks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = terminal_of(monkeypatch)
    monkeypatch.setattr(image_progress, "SILENT_S", 0)

    with ReadingProgress(Output(is_quiet=True), "reading", None) as progress:
        progress.advance(1)
    file = io.StringIO()
    monkeypatch.setattr(sys, "stderr", file)
    with ReadingProgress(Output(), "reading", None) as progress:
        progress.advance(1)

    assert (terminal.getvalue(), file.getvalue()) == ("", "")


def test_each_byte_of_a_layer_is_counted(tmp_path: Path) -> None:
    layout = layout_of(tmp_path / "image", [entry("f", b"x" * 3000)])
    counts: list[int] = []
    with open_layout("image", str(layout)) as source:
        counted = CountedSource(source, counts.append)
        (layer,) = open_image(source).layers

        reader = counted.open_blob(layer.descriptor)
        while reader.read(1000):
            pass
        reader.close()

    assert sum(counts) == layer.descriptor.size_bytes
