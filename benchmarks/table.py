"""Tables: drawn by rich on a terminal, plain columns elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final, TextIO

# Blue and orange can be told apart by everybody.
_STYLES: Final = {"faster": "bold blue", "slower": "bold dark_orange"}


class Printer:
    """Prints text and tables to ``stream``, by default standard output.

    Args:
        is_terminal: Whether a person reads it there.
    """

    def __init__(
        self, stream: TextIO | None = None, *, is_terminal: bool | None = None
    ) -> None:
        self._stream = stream or sys.stdout
        self._is_terminal = (
            self._stream.isatty() if is_terminal is None else is_terminal
        )

    @property
    def speaks_unicode(self) -> bool:
        """Whether more than ASCII can be shown."""
        encoding = getattr(self._stream, "encoding", None) or "ascii"
        return encoding.lower().replace("-", "").startswith("utf")

    def line(self, text: str = "") -> None:
        """Print one line."""
        print(text if self.speaks_unicode else to_ascii(text), file=self._stream)

    def table(
        self, columns: Sequence[str], rows: Sequence[Sequence[str]], indent: int = 2
    ) -> None:
        """Print a table; a column whose title begins with ``>`` is right-aligned."""
        if self._is_terminal:
            self._rich_table(columns, rows, indent)
            return
        titles = [title.removeprefix(">") for title in columns]
        widths = [
            max(len(row[index]) for row in [titles, *rows])
            for index in range(len(titles))
        ]
        for row in [titles, *rows]:
            cells = [
                cell.rjust(width) if title.startswith(">") else cell.ljust(width)
                for cell, width, title in zip(row, widths, columns, strict=True)
            ]
            self.line(" " * indent + "  ".join(cells).rstrip())

    def _rich_table(
        self, columns: Sequence[str], rows: Sequence[Sequence[str]], indent: int
    ) -> None:
        from rich.console import Console
        from rich.padding import Padding
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold")
        for title in columns:
            is_number = title.startswith(">")
            table.add_column(
                title.removeprefix(">"),
                justify="right" if is_number else "left",
                no_wrap=is_number,
                overflow="fold",
            )
        for row in rows:
            table.add_row(*(Text(cell, style=_style(cell)) for cell in row))
        console = Console(file=self._stream, highlight=False, emoji=False)
        console.print(Padding(table, (0, 0, 0, indent), expand=False))


def _style(cell: str) -> str:
    return next((style for word, style in _STYLES.items() if word in cell), "")


def to_ascii(text: str) -> str:
    """Return ``text`` for a terminal that knows only ASCII."""
    table = {"▲": "+", "▼": "-", "≈": "=", "…": "..", "±": "+-", "✓": "yes", "✗": "NO"}
    return "".join(table.get(letter, letter) for letter in text)
