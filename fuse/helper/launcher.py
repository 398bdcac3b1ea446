"""The program text that is put where mount.fuse3 looks for ``snapfs-fuse``."""

from __future__ import annotations

from typing import Final

# Without "site" an interpreter starts in half the time, and so does each import: no
# path files, no finders of editable installs. Nothing but the standard library and
# this package is imported, so nothing is missed. Collecting garbage finds none.
_PROGRAM: Final = """\
import gc, sys
gc.disable()
sys.path.insert(0, {root!r})
from snapfs.fuse.helper.main import main
sys.exit(main())"""


def launcher_words(interpreter: str, package_root: str) -> list[str]:
    """Return the command that runs ``snapfs-fuse``, without its arguments.

    Args:
        interpreter: Path of the Python to run it with.
        package_root: The directory that holds the package ``snapfs``.
    """
    return [interpreter, "-IS", "-c", _PROGRAM.format(root=package_root)]


def launcher_text(interpreter: str, package_root: str) -> str:
    """Return a shell script that runs ``snapfs-fuse`` with its arguments."""
    import shlex  # here: who runs the command itself needs no script

    words = launcher_words(interpreter, package_root)
    return f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n'
