"""How the files of a snapshot store owners: asked for by labels, kept as a fact.

A container in a user namespace has its snapshot prepared with mapping labels. commit
replaces labels, as containerd asks; whose identities the files have stays the same, and
whoever makes a layer of them must know it.
"""

from __future__ import annotations

from collections.abc import Mapping

from snapfs.driver import Driver
from snapfs.errors import InvalidArgumentError
from snapfs.metadata import Row
from snapfs.model import IdMaps
from snapfs.overlay_format import (
    GID_MAPPING_LABEL,
    UID_MAPPING_LABEL,
    mapped_root,
)


def id_maps_of(labels: Mapping[str, str], driver: Driver | None) -> IdMaps | None:
    """Return how ``driver`` stores the owners of a snapshot with these labels.

    None where they are stored as a container sees them.

    Raises:
        InvalidArgumentError: The labels cannot be read.
    """
    if mapped_root(labels) is None or driver is None or not driver.stores_host_owners:
        return None
    return IdMaps(labels[UID_MAPPING_LABEL], labels[GID_MAPPING_LABEL])


def kept_id_maps(row: Row, driver: Driver | None) -> IdMaps | None:
    """Return what a commit of ``row`` keeps, which an older version did not note."""
    if row.id_maps is not None:
        return row.id_maps
    try:
        return id_maps_of(row.info.labels, driver)
    except InvalidArgumentError:  # they were changed since, and map nothing
        return None
