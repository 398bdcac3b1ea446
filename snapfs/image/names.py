"""Which of several images in one place is meant by a tag."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from snapfs.errors import NotFoundError, SnapfsError
from snapfs.image.registry.name import parse_name
from snapfs.image.strict_json import shown

T = TypeVar("T")

# Names in a message, at most.
_LISTED = 20


def select(
    images: Sequence[tuple[Sequence[str], T]], wanted: str, where: str
) -> list[T]:
    """Return the images that ``wanted`` names, by the first rule that finds any.

    ``images`` pairs each image with its names. A name is ``wanted`` if it is the
    same text; or the same name to Docker (``demo`` and ``docker.io/library/demo:
    latest``); or if its part after the last colon is ``wanted``.

    Raises:
        NotFoundError: No image has the name; the message lists those that exist.
    """
    full = _full(wanted)
    for rule in (
        lambda name: name == wanted,
        lambda name: full is not None and _full(name) == full,
        lambda name: name.rpartition(":")[2] == wanted,
    ):
        found = [image for names, image in images if any(map(rule, names))]
        if found:
            return found
    names = [name for names, _ in images for name in names]
    raise NotFoundError(
        f"{where}: there is no image {shown(wanted)}; {list_names(names)}"
    )


def list_names(names: Iterable[str]) -> str:
    """Return ``it has: A, B`` for a message."""
    distinct = sorted(set(names))
    if not distinct:
        return "its images have no names"
    rest = len(distinct) - _LISTED
    more = f" and {rest} more" if rest > 0 else ""
    return f"it has: {', '.join(ascii(n)[1:-1] for n in distinct[:_LISTED])}{more}"


def _full(name: str) -> str | None:
    try:
        return str(parse_name(name))
    except SnapfsError:
        return None  # a tag may be any text; then only the text itself counts
