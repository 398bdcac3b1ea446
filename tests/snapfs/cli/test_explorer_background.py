"""Work beside the keys: told when it is done, not waited for at the end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("textual", reason="the extra 'tui' is not installed")

from snapfs.cli.explorer import app as app_module
from snapfs.cli.explorer.app import Explorer
from snapfs.cli.explorer.screens import Findings, FindingsScreen
from snapfs.errors import DataLossError
from snapfs.inspect.inspection import Inspection
from support.inspected import inspected
from support.mounted_images import write_layout


@pytest.fixture
def inspection(tmp_path: Path) -> Iterator[Inspection]:
    with inspected(write_layout(tmp_path / "layout"), tmp_path / "cache") as found:
        yield found


def test_nothing_that_is_at_work_keeps_the_program_from_ending(
    inspection: Inspection, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, release = threading.Event(), threading.Event()

    def slow(_: Inspection) -> Findings:
        begun.set()
        release.wait()
        return Findings("late", ())

    monkeypatch.setattr(app_module, "tell_waste", slow)
    app = Explorer(inspection)

    async def run() -> None:
        async with app.run_test() as pilot:
            await pilot.press("w")
            assert begun.wait(60)
            await pilot.press("escape", "down", "q")

    asyncio.run(run())

    assert app.background.is_busy  # it still is; and yet we are here
    release.set()


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (DataLossError("the layer is damaged"), "the layer is damaged"),
        (KeyError("bug"), "KeyError: 'bug'"),
    ],
)
def test_what_fails_is_said_where_the_findings_would_be(
    inspection: Inspection,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    says: str,
) -> None:
    def fail(_: Inspection) -> Findings:
        raise error

    monkeypatch.setattr(app_module, "tell_waste", fail)
    app = Explorer(inspection)

    async def run() -> None:
        async with app.run_test() as pilot:
            await pilot.press("w")
            while app.background.is_busy:
                await pilot.pause(0.01)
            assert isinstance(app.screen, FindingsScreen)
            title = app.screen.query_one("#title").render()
            assert says in str(title)

    asyncio.run(run())
