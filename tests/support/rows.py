"""Rows for tests of the metadata store, which knows no directories."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from snapfs.metadata import MetadataStore, Row, committed_row
from snapfs.model import Durability, Info, Kind, Owner

STORE_ID = "7b1e0e9c-4d36-4b9a-9d0e-3c1c8f3f7a11"


@contextlib.contextmanager
def opened(path: Path) -> Iterator[MetadataStore]:
    """Open the database ``path``; make it if it is missing."""
    opener = MetadataStore.open if path.exists() else MetadataStore.create
    metadata = opener(str(path), STORE_ID)
    try:
        yield metadata
    finally:
        metadata.close()


def active(
    metadata: MetadataStore,
    key: str,
    parent: Row | None = None,
    *,
    kind: Kind = Kind.ACTIVE,
    layer_id: int = 0,
    root_opaque: bool = False,
) -> Row:
    """Add an active snapshot (or a view) and return its row."""
    number = metadata.allocate_id()
    row = Row(
        info=Info(key, parent.key if parent else "", kind, 1, 1),
        snapshot_id=number,
        parent_id=parent.snapshot_id if parent else 0,
        owner=Owner.LOCAL,
        driver="fake",
        layer_id=layer_id or number,
        root_opaque=root_opaque,
    )
    metadata.create_snapshot(row)
    return row


def committed(
    metadata: MetadataStore,
    name: str,
    parent: Row | None = None,
    *,
    layer_id: int = 0,
    root_opaque: bool = False,
) -> Row:
    """Add a committed snapshot and return its row."""
    row = active(
        metadata,
        f"making-{name}",
        parent,
        layer_id=layer_id,
        root_opaque=root_opaque,
    )
    new = committed_row(row, name, {}, None, 2, Durability.NONE)
    metadata.commit(row, new)
    return new
