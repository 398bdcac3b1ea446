"""Names of an image as text of a page: printable, whatever they are."""

from __future__ import annotations

from snapfs.cli.wording import printable


def shown_name(name: bytes) -> str:
    """Return a name; bytes that are no UTF-8, and what is not printed, escaped.

    Marks that turn the direction of text around are not printed either.
    """
    return printable(name.decode("utf-8", "backslashreplace"))


def shown(path: bytes) -> str:
    """Return an absolute path."""
    return "/" + shown_name(path)
