"""``mount`` of plain words, without click.

click takes twice the time of Python's own start to load. A line that has nothing but
known words in plain forms is read here, and is done as the command would do it; any
other is left to click, which says what is wrong with it or what it means.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from snapfs.light_typing import TYPE_CHECKING, Final
from snapfs.values import dataclass

if TYPE_CHECKING:
    from snapfs.cli.session import Library

_COMMAND: Final = "mount"
_COMPLETION: Final = "_SNAPFS_COMPLETE"
_DRIVERS: Final = ("auto", "kernel", "fuse")
_QUIET: Final = ("-q", "--quiet")


@dataclass(frozen=True, slots=True)
class Line:
    """The words of a command line that was understood.

    Attributes:
        what: Names what is to be mounted.
        target: The directory to mount it at.
        root: The state directory; "" for the usual one.
        driver: The driver; "" where none was named.
        flags: The flags that were given, in their long form.
    """

    what: str
    target: str
    root: str
    driver: str
    flags: frozenset[str]


def understood(words: Sequence[str]) -> Line | None:
    """Return what a command line says; None where click has to read it."""
    values = {"--root": "", "--driver": ""}
    flags, places = set(), []
    rest = iter(words)
    is_ours = False
    for word in rest:
        if not word.startswith("-"):
            if is_ours:
                places.append(word)
            elif word != _COMMAND:
                return None
            is_ours = True
        elif word == "--json" or (is_ours and word in ("--ro", "--rw")):
            flags.add(word)
        elif not is_ours and word in _QUIET:
            flags.add(_QUIET[-1])
        elif not is_ours and word in values:
            values[word] = next(rest, "")
            if not values[word] or values[word].startswith("-"):
                return None
        else:
            return None
    driver = values["--driver"]
    is_plain = len(places) == 2 and all(places) and not {"--ro", "--rw"} <= flags
    if not is_plain or driver not in ("", *_DRIVERS) or _COMPLETION in os.environ:
        return None
    return Line(places[0], places[1], values["--root"], driver, frozenset(flags))


def run(line: Line, library: Library | None) -> int:
    """Do what the line says; as :func:`snapfs.cli.program.run`."""
    try:
        _mount(line, library)
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # the last resort
        from snapfs.cli.program import end_with

        return end_with(error, _COMMAND)
    return 0


def _mount(line: Line, library: Library | None) -> None:
    from snapfs.cli.access import Access, Selection
    from snapfs.cli.log_output import set_up_logging
    from snapfs.cli.mounting import mount_at
    from snapfs.cli.output import Output
    from snapfs.cli.session import Library, Session, default_root

    is_quiet = "--quiet" in line.flags
    root, origin = (line.root, "--root") if line.root else default_root()
    session = Session(
        root=os.path.abspath(root),
        root_origin=origin,
        driver=line.driver or "auto",
        driver_origin="--driver" if line.driver else "default",
        output=Output(as_json="--json" in line.flags, is_quiet=is_quiet),
        library=library or Library(),
    )
    set_up_logging(is_quiet=is_quiet, verbosity=0)
    access = Access(
        "--rw" in line.flags, is_read_only="--ro" in line.flags, is_local=True
    )
    mount_at(session, line.what, line.target, access, Selection())
