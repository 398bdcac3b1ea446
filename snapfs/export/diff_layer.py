"""The layer that holds what one tree has and another has not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from snapfs.export.config import Step
from snapfs.layer.changed_entries import changed_entries
from snapfs.layer.diff import opened_diff
from snapfs.layer.notes import Notes
from snapfs.layer.stored_owners import StoredOwners
from snapfs.layer.written import LayerEntry
from snapfs.overlay_format import XattrPrefix


@dataclass(frozen=True, slots=True)
class DiffLayer:
    """The changes between two chains of layers; a LayerSource.

    Attributes:
        before: The directories of the tree as it was, highest first.
        after: The directories of the tree as it is, highest first.
        prefix: Of their marks.
        owners: How the host's owners are written, in layers that have such.
    """

    label: str
    step: Step
    before: tuple[str, ...]
    after: tuple[str, ...]
    prefix: XattrPrefix
    owners: StoredOwners | None = None

    @contextmanager
    def entries(self, notes: Notes) -> Iterator[Iterator[LayerEntry]]:
        """See :class:`snapfs.export.layer_source.LayerSource`."""
        with opened_diff(
            self.before,
            self.after,
            self.prefix,
            unchanged=True,
            notes=notes,
            owners=self.owners,
        ) as changes:
            yield changed_entries(changes, notes)
