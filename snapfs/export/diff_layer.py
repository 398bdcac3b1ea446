"""The layer that holds what one tree has and another has not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from snapfs.export.config import Step
from snapfs.layer.changed_entries import changed_entries
from snapfs.layer.diff import opened_diff
from snapfs.layer.notes import Notes
from snapfs.layer.written import LayerEntry
from snapfs.overlay_format import XattrPrefix


@dataclass(frozen=True, slots=True)
class DiffLayer:
    """The changes between two chains of layers; a LayerSource.

    Attributes:
        before: The directories of the tree as it was, highest first.
        after: The directories of the tree as it is, highest first.
        prefix: Of their marks.
    """

    label: str
    step: Step
    before: tuple[str, ...]
    after: tuple[str, ...]
    prefix: XattrPrefix

    @contextmanager
    def entries(self, notes: Notes) -> Iterator[Iterator[LayerEntry]]:
        """See :class:`snapfs.export.layer_source.LayerSource`."""
        with opened_diff(
            self.before, self.after, self.prefix, unchanged=True, notes=notes
        ) as changes:
            yield changed_entries(changes, notes)
