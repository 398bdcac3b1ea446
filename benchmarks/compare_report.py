"""The difference of two results as text."""

from __future__ import annotations

import itertools

from snapfs.benchmarks.comparing import Change, Difference
from snapfs.benchmarks.report import GLYPHS
from snapfs.benchmarks.table import Printer
from snapfs.benchmarks.wording import percent, short_time


def print_difference(difference: Difference, printer: Printer) -> None:
    """Print what changed, scenario by scenario, and what may mislead."""
    for warning in difference.warnings:
        printer.line(f"warning: {warning}")
    for scenario, group in itertools.groupby(
        difference.changes, key=lambda change: change.scenario
    ):
        printer.line()
        printer.line(scenario)
        printer.table(
            (
                "CELL",
                "TARGET",
                ">BEFORE",
                ">AFTER",
                ">RATIO",
                ">[INTERVAL]",
                ">FLOOR",
                "VERDICT",
            ),
            [_row(change) for change in group],
        )
    if any(not change.is_relative for change in difference.changes):
        printer.line()
        printer.line("* absolute times; all others are relative to the run's baseline")
    for words, names in (
        ("only before", difference.only_before),
        ("only after", difference.only_after),
    ):
        for name in names:
            printer.line(f"{words}: {name}")


def _row(change: Change) -> tuple[str, ...]:
    return (
        change.label,
        change.target + ("" if change.is_relative else " *"),
        short_time(change.before),
        short_time(change.after),
        f"{change.ratio:.2f}",
        f"{change.low:.2f} … {change.high:.2f}",
        percent(change.floor),
        GLYPHS[change.verdict],
    )
