"""The answers to ``--help`` and ``--version`` alone, given without click.

click takes more time to load than all else that these two need. What is written here
is what click would write; a test compares them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence

from snapfs import __version__
from snapfs.cli.catalog import CATALOG
from snapfs.light_typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from snapfs.cli.session import Library

SUMMARY: Final = "Copy-on-write snapshots for containers."
EXAMPLES: Final = (
    "snapfs prepare work base            # a writable snapshot on 'base'",
    "snapfs mount work /mnt --rw         # use it",
    "snapfs config containerd            # let containerd use snapfs",
)
OPTIONS: Final = {
    "--version": "Show the version and exit.",
    "--root DIR": "The state directory. Default: $SNAPFS_ROOT, else /var/lib/snapfs"
    " (root) or $XDG_DATA_HOME/snapfs.",
    "--driver [auto|kernel|fuse]": "How snapshots are mounted.",
    "--json": "Print JSON.",
    "-q, --quiet": "Print data and errors only.",
    "-v, --verbose": "Log more; twice: everything.",
    "-h, --help": "Show this message and exit.",
}
"""The global options as they are shown, and what each does."""

_COMPLETION: Final = "_SNAPFS_COMPLETE"
_MAX_WIDTH: Final = 80  # as click's own
_MIN_WIDTH: Final = 60  # below it more is folded than is done here
_GAP: Final = 2
_INDENT: Final = "  "


def is_answered_here(words: Sequence[str]) -> bool:
    """Whether a command line asks for nothing but the help or the version."""
    return (
        len(words) == 1
        and words[0] in ("-h", "--help", "--version")
        and terminal_width() >= _MIN_WIDTH
        and _COMPLETION not in os.environ
        and sys.stdout is not None
    )


def run(arguments: Sequence[str] | None, _library: Library | None) -> int:
    """Answer; as :func:`snapfs.cli.program.run`."""
    (word,) = sys.argv[1:] if arguments is None else arguments
    is_version = word == "--version"
    text = f"snapfs {__version__}\n" if is_version else overview(terminal_width())
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        from snapfs.cli.program import end_with

        return end_with(error)
    return 0


def terminal_width() -> int:
    """Return the width for help. click would import shutil to find it."""
    try:
        return min(int(os.environ["COLUMNS"]), _MAX_WIDTH)
    except (KeyError, ValueError):
        pass  # not set: ask the terminal
    try:
        return min(os.get_terminal_size().columns, _MAX_WIDTH)
    except OSError:
        return _MAX_WIDTH


def overview(width: int) -> str:
    """Return the help of the program as a whole, for a terminal of ``width``."""
    lines = ["Usage: snapfs [OPTIONS] COMMAND [ARGS]...", "", _INDENT + SUMMARY]
    lines += ["", "Options:", *_table(OPTIONS.items(), width)]
    names = max(map(len, CATALOG))
    for section in dict.fromkeys(entry.section for entry in CATALOG.values()):
        rows = [
            (name.ljust(names), entry.summary)
            for name, entry in CATALOG.items()
            if entry.section == section
        ]
        lines += ["", f"{section}:", *_table(rows, width)]
    lines += ["", f"{_INDENT}Examples:"]
    lines += [_INDENT * 2 + example for example in EXAMPLES]
    return "\n".join(lines) + "\n"


def _table(rows: Iterable[tuple[str, str]], width: int) -> Iterator[str]:
    """Yield the lines of two columns, of which the second is folded."""
    rows = list(rows)
    first = max(len(term) for term, _ in rows) + _GAP
    for term, text in rows:
        for line in _fold(text, width - first - len(_INDENT)):
            yield f"{_INDENT}{term.ljust(first)}{line}"
            term = ""


def _fold(text: str, width: int) -> Iterator[str]:
    line = ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            yield line
            line = word
        else:
            line = f"{line} {word}" if line else word
    yield line
