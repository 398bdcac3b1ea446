"""The mark of a store that was closed in order: all rows agree with the disk."""

from __future__ import annotations


class CleanMark:
    """What decides whether a store is marked as clean when it is closed.

    Attributes:
        was_clean: Whether it was marked when it was opened.
        is_taken_off: Whether that it is not is on disk, since changes began.
        is_compared: Whether all rows were compared with the disk since a crash.
        has_failed: Whether a verb failed halfway and may not have undone it all.
    """

    __slots__ = ("has_failed", "is_compared", "is_taken_off", "was_clean")

    def __init__(self, *, was_clean: bool) -> None:
        self.was_clean = was_clean
        self.is_taken_off = False
        self.is_compared = False
        self.has_failed = False

    @property
    def is_due(self) -> bool:
        """Whether the store is to be marked as clean; it is written for that alone."""
        is_missing = self.is_taken_off or not self.was_clean
        is_sound = (self.was_clean or self.is_compared) and not self.has_failed
        return is_missing and is_sound

    def note_compared(self) -> None:
        """Say that after a crash all rows agree with the disk, durably.

        Without it a store that was not clean when it was opened does not become so.
        """
        self.is_compared = True
