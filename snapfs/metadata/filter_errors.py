"""The one line that tells where a filter is wrong."""

from __future__ import annotations

from typing import Final

from snapfs.errors import InvalidArgumentError

# A gRPC status travels in a header, and headers of more than 8 KiB are dropped.
# This many characters on each side of the fault are enough to find it.
_CONTEXT: Final = 60


def filter_error(text: str, position: int, fault: str) -> InvalidArgumentError:
    """Return the error for the filter ``text``; the caller raises it.

    Args:
        text: The whole filter.
        position: The index of the character at fault; ``len(text)`` for the end.
        fault: What is wrong there, as a clause.
    """
    where = "at its end" if position >= len(text) else f"at character {position + 1}"
    return InvalidArgumentError(f"filter {_excerpt(text, position)}, {where}: {fault}")


def _excerpt(text: str, position: int) -> str:
    start = max(0, position - _CONTEXT)
    end = min(len(text), position + _CONTEXT)
    before = "..." if start > 0 else ""
    after = "..." if end < len(text) else ""
    # repr() keeps control characters and line breaks out of logs and terminals.
    return f"{before}{text[start:end]!r}{after}"
