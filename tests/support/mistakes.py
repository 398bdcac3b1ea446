"""How a mistake must end: the right error, one clear line, and nothing changed."""

from __future__ import annotations

import subprocess
from pathlib import Path

from snapfs.api.codes import Code
from snapfs.cli.exit_codes import exit_code
from snapfs.errors import SnapfsError
from snapfs.service.status import CODES
from support.stores import disk_image


def assert_line(text: str, *names: str) -> None:
    """Assert that a message is one line and names the object and the way out."""
    assert text.count("\n") == 0, text
    assert "Traceback" not in text
    assert "internal error" not in text
    for name in names:
        assert name in text


def assert_refused(
    done: subprocess.CompletedProcess[str], error: type[SnapfsError], *names: str
) -> None:
    """Assert that a command ended as ``error`` demands, in one line on stderr."""
    assert done.returncode == exit_code(error("x")), done.stderr
    assert done.stdout == ""
    assert done.stderr.endswith("\n")
    assert done.stderr.startswith("snapfs: ")
    assert_line(done.stderr.removesuffix("\n"), *names)


def status_code(error: SnapfsError) -> Code:
    """Return the gRPC status that our client made ``error`` of."""
    return CODES[type(error)]


def content_of(place: Path) -> dict[str, str]:
    """Return all that must not change below ``place``.

    The lock file is not of it: whoever tries to own a root leaves his number there.
    SQLite removes the log of the database when it closes it.
    """
    if not place.is_dir():
        return {"": place.read_text()} if place.exists() else {}
    image = disk_image(place)
    return {
        path: digest
        for path, digest in image.items()
        if Path(path).name not in ("lock", "metadata.db-wal", "metadata.db-shm")
    }
