"""Whose the directories of a mount are: snapshots of the store, and which layers."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Sequence

from snapfs.cli.directories import snapshot_directories
from snapfs.cli.provenance import OverlayLayers
from snapfs.model import Kind, SnapshotDetails
from snapfs.overlay_format import XattrPrefix
from snapfs.unpack.labels import COMMAND_LABEL


@dataclasses.dataclass(frozen=True, slots=True)
class LayerOwner:
    """What is known of one directory.

    Attributes:
        number: Of the layer, from 1, the lowest of its image.
        key: The snapshot's; "" for a directory that is none of the store's.
        command: What made the layer; "" where that is not known.
    """

    number: int
    key: str = ""
    command: str = ""


class LayerOwners:
    """The snapshots of a store by their directories.

    Content can be shared by snapshots of several chains, as different layers of each;
    so a directory is looked up as part of its stack where that is a snapshot's.

    Args:
        every: The snapshots; none where there is no store.
        prefix: Of the store's marks.
    """

    def __init__(self, every: Iterable[SnapshotDetails], prefix: XattrPrefix) -> None:
        self.prefix = prefix
        self._by_key = {details.info.name: details for details in every}
        self._by_directory = {
            os.path.join(details.directory, "fs"): details
            for details in self._by_key.values()
        }

    @property
    def directories(self) -> Sequence[str]:
        """The directories of layers, absolute."""
        return list(self._by_directory)

    def snapshot_of(self, path: str) -> tuple[str, SnapshotDetails] | None:
        """Return the directory that ``path`` lies in, and whose it is; else None."""
        for directory, details in self._by_directory.items():
            if path == directory or path.startswith(f"{directory}/"):
                return directory, details
        return None

    def of(self, layers: OverlayLayers) -> list[LayerOwner]:
        """Return the owner of each directory of a mount, in its order."""
        uppers = len(layers.directories[:1]) if layers.upper else 0
        lowers = layers.directories[uppers:]
        chain = self._chain_of(lowers)
        if chain:
            owners = [self._owner(details) for details in chain]
        else:
            owners = [self._alone(d, n) for n, d in _from_below(lowers)]
        if uppers:
            above = owners[0].number + 1 if owners else 1
            owners.insert(0, self._alone(layers.upper, above))
        return owners

    def _alone(self, directory: str, number: int) -> LayerOwner:
        details = self._by_directory.get(directory)
        return self._owner(details) if details else LayerOwner(number)

    def _owner(self, details: SnapshotDetails) -> LayerOwner:
        command = details.info.labels.get(COMMAND_LABEL, "")
        return LayerOwner(self._depth(details), details.info.name, command)

    def _chain_of(self, lowers: tuple[str, ...]) -> list[SnapshotDetails]:
        """Return the snapshots that are these layers, highest first; [] for none."""
        for details in self._by_key.values():
            is_frozen = details.info.kind is Kind.COMMITTED
            if is_frozen and snapshot_directories(details) == lowers:
                return self._ancestors(details)[: len(lowers)]
        return []

    def _ancestors(self, details: SnapshotDetails) -> list[SnapshotDetails]:
        found = [details]
        while parent := found[-1].info.parent:
            found.append(self._by_key[parent])
        return found

    def _depth(self, details: SnapshotDetails) -> int:
        return len(self._ancestors(details))


def _from_below(directories: Sequence[str]) -> list[tuple[int, str]]:
    count = len(directories)
    return [(count - position, d) for position, d in enumerate(directories)]
