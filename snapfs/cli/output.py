"""Where output goes: data to standard output, all else to standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence

from snapfs.cli.wording import one_line, printable
from snapfs.light_typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from snapfs.cli.pager import Pager

_DETAIL_COLUMNS: Final = 7
# Between two columns of a table; what is never folded; what longer text is folded to.
_GAP_COLUMNS: Final = 2
_SHORT_TEXT_COLUMNS: Final = 10
_LEAST_TEXT_COLUMNS: Final = 8


class Output:
    """Print results in the form that was asked for.

    With ``--json`` a result is one document, or one object a line for listings.
    Otherwise it is text: rich draws tables on a terminal; a pipe or a file gets
    plain columns without colour.
    """

    def __init__(self, *, as_json: bool = False, is_quiet: bool = False) -> None:
        self.as_json = as_json
        self.is_quiet = is_quiet
        self._pager: Pager | None = None

    @property
    def is_terminal(self) -> bool:
        """Whether a person is looking at standard output."""
        is_paged = self._pager is not None and self._pager.is_on
        return is_paged or sys.stdout.isatty()

    def page(self) -> Callable[[], None]:
        """Show what is printed from now on with the user's pager, on a terminal.

        Return what waits for its end, to be called in any case.
        """
        # Here: few commands print much.
        from snapfs.cli.pager import Pager

        self._pager = Pager()
        return self._pager.end

    def line(self, text: str) -> None:
        """Print one line of data, made printable."""
        self._begin()
        echo(printable(text))

    def raw(self, text: str) -> None:
        """Print data that is to be read by another program, as it is."""
        echo(text, nl=False)

    def document(self, value: object) -> None:
        """Print the one JSON document of this command."""
        import json

        self._begin()
        echo(json.dumps(value, indent=2))

    def records(self, values: Iterable[object]) -> None:
        """Print one JSON object a line, each as soon as it is there."""
        import json

        for value in values:
            self._begin()
            echo(json.dumps(value))

    def note(self, text: str) -> None:
        """Tell the user something that is no data; silent with ``-q``."""
        if not self.is_quiet:
            complain(text)

    def detail(self, name: str, text: str) -> None:
        """Add a named line to the note before it."""
        if not self.is_quiet:
            echo(f"  {name.ljust(_DETAIL_COLUMNS)}  {one_line(text)}", err=True)

    def table(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[str]],
        *,
        is_data: bool = True,
    ) -> None:
        """Print a table. A column whose title begins with ``>`` is right-aligned.

        What is no data goes to standard error.
        """
        cells = [[printable(cell) for cell in row] for row in rows]
        if is_data:
            self._begin()
        if self.is_terminal if is_data else sys.stderr.isatty():
            pager = self._pager
            width = pager.columns if is_data and pager and pager.is_on else None
            _rich_table(columns, cells, err=not is_data, width=width)
        else:
            _plain_table(columns, cells, err=not is_data)

    def _begin(self) -> None:
        if self._pager is not None:
            self._pager.begin()


def echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print text, on standard error with ``err``; as :func:`click.echo`.

    Without click, which a short command need not load, unless it has something to do:
    colours to take out, or a stream to put right.
    """
    stream = sys.stderr if err else sys.stdout
    if "\x1b" in text or getattr(stream, "encoding", None) not in ("utf-8", "UTF-8"):
        import click

        click.echo(text, err=err, nl=nl)
        return
    stream.write(text + "\n" if nl else text)
    stream.flush()


def complain(text: str) -> None:
    """Print one line on standard error, with the program's name before it."""
    echo(f"snapfs: {one_line(text)}", err=True)


def speaks_unicode() -> bool:
    """Whether standard output can show more than ASCII."""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    return encoding.lower().replace("-", "") in ("utf8", "utf16", "utf32")


def _plain_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, err: bool
) -> None:
    titles = [title.removeprefix(">") for title in columns]
    widths = [
        max([len(titles[n]), *(len(row[n]) for row in rows)])
        for n in range(len(columns))
    ]
    lines = []
    for row in [titles, *rows]:
        cells = [
            cell.rjust(width) if title.startswith(">") else cell.ljust(width)
            for cell, width, title in zip(row, widths, columns, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    echo("\n".join(lines), err=err)


def _rich_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    err: bool,
    width: int | None,
) -> None:
    """Draw a table on a terminal; ``width`` is that of the one behind a pager.

    Text folds where it is too wide for the terminal, down to a few columns. A number is
    never cut, for it would be another one: where they all do not fit, lines are longer.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(
        stderr=err,
        highlight=False,
        emoji=False,
        width=width,
        force_terminal=True if width else None,
    )
    titles = [title.removeprefix(">") for title in columns]
    natural = [
        max(Text(text).cell_len for text in texts)
        for texts in zip(titles, *rows, strict=True)
    ]
    is_number = [title.startswith(">") for title in columns]
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for title, number, columns_wide in zip(
        titles, is_number, _folded(natural, is_number, console.width), strict=True
    ):
        justify: Literal["right", "left"] = "right" if number else "left"
        table.add_column(title, justify=justify, width=columns_wide, overflow="fold")
    for row in rows:
        # As Text: "[red]" is a fine name for a snapshot, and no colour.
        table.add_row(*map(Text, row))
    console.width = sum(natural) + _GAP_COLUMNS * len(natural)
    with console.capture() as captured:
        console.print(table)
    # Without blanks at the end: the terminal would begin a line for them.
    for line in captured.get().splitlines():
        console.file.write(line.rstrip() + "\n")


def _folded(
    natural: Sequence[int], is_number: Sequence[bool], terminal: int
) -> list[int]:
    """Return the columns that each column of a table gets on a terminal."""
    widths = list(natural)
    excess = sum(widths) + _GAP_COLUMNS * (len(widths) - 1) - terminal
    foldable = [
        number
        for number, width in enumerate(widths)
        if not is_number[number] and width > _SHORT_TEXT_COLUMNS
    ]
    while excess > 0 and foldable:
        widest = max(foldable, key=widths.__getitem__)
        if widths[widest] == _LEAST_TEXT_COLUMNS:
            break
        widths[widest] -= 1
        excess -= 1
    return widths


def abandon_standard_output() -> None:
    """Forget what is still buffered, once the reader of a pipe has gone.

    Otherwise the interpreter complains about it while it exits (Python's signal
    documentation, "Note on SIGPIPE").
    """
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
