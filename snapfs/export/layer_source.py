"""Where the entries of a layer to be written come from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from snapfs.export.config import Step
from snapfs.layer.notes import Notes
from snapfs.layer.overlay_entries import overlay_entries
from snapfs.layer.written import LayerEntry
from snapfs.overlay_format import XattrPrefix

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class LayerSource(Protocol):
    """One layer that can be written."""

    @property
    def label(self) -> str:
        """What messages call it."""

    @property
    def step(self) -> Step:
        """What made it, for the image's history."""

    def entries(self, notes: Notes) -> AbstractContextManager[Iterator[LayerEntry]]:
        """Return the entries in their order, readable during the block.

        Raises:
            SnapfsError: The layer cannot be written as it is.
            OSError: It cannot be read.
        """


@dataclass(frozen=True, slots=True)
class DirectoryLayer:
    """A layer in overlayfs form, which needs none below it; see LayerSource.

    Attributes:
        directory: Its path.
        prefix: Of its marks.
        root_opaque: It hides all below it.
    """

    label: str
    step: Step
    directory: str
    prefix: XattrPrefix
    root_opaque: bool = False

    @contextmanager
    def entries(self, notes: Notes) -> Iterator[Iterator[LayerEntry]]:
        """See :class:`LayerSource`."""
        fd = os.open(self.directory, _DIRECTORY)
        try:
            yield overlay_entries(fd, self.prefix, notes, root_opaque=self.root_opaque)
        finally:
            os.close(fd)
