"""What is told of a layer that was applied: one line for each kind of thing."""

from __future__ import annotations

from typing import Final

# Lines; a hostile layer could think of as many names as it has entries.
_LINES: Final = 100


class Notes:
    """Warnings, each kept once with the number of times it was given."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._more = 0

    def add(self, line: str) -> None:
        """Give a warning."""
        if line in self._counts:
            self._counts[line] += 1
        elif len(self._counts) < _LINES:
            self._counts[line] = 1
        else:
            self._more += 1

    def lines(self) -> tuple[str, ...]:
        """Return all warnings in the order in which they were first given."""
        lines = [
            line if count == 1 else f"{line} ({count} times)"
            for line, count in self._counts.items()
        ]
        if self._more:
            lines.append(f"{self._more} more warnings")
        return tuple(lines)
