"""Rows as sidecars."""

from __future__ import annotations

from snapfs.metadata import Row
from snapfs.state.sidecar import SidecarRecord


def sidecar_of(row: Row, xattr_prefix: str) -> SidecarRecord:
    """Return the sidecar record that says what ``row`` says."""
    info, id_maps = row.info, row.id_maps
    return SidecarRecord(
        generation=row.generation,
        snapshot_id=row.snapshot_id,
        layer_id=row.layer_id,
        key=info.name,
        parent=info.parent,
        parent_id=row.parent_id,
        kind=info.kind,
        owner=row.owner,
        labels=dict(info.labels),
        created_ns=info.created_ns,
        updated_ns=info.updated_ns,
        driver=row.driver,
        xattr_prefix=xattr_prefix,
        root_opaque=row.root_opaque,
        durability=row.durability,
        index_generation=row.index_generation,
        uid_map=id_maps.uids if id_maps else "",
        gid_map=id_maps.gids if id_maps else "",
    )
