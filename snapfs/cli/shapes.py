"""What values look like as JSON. Scripts rely on these shapes: only add to them."""

from __future__ import annotations

from collections.abc import Mapping

from snapfs.cli.wording import timestamp
from snapfs.light_typing import TypeAlias
from snapfs.model import (
    Finding,
    Garbage,
    Info,
    Mount,
    SnapshotDetails,
    StoreStatus,
    Usage,
)

Shape: TypeAlias = Mapping[str, object]


def info_shape(info: Info) -> dict[str, object]:
    """Return the contract's part of a snapshot."""
    return {
        "name": info.name,
        "parent": info.parent,
        "kind": str(info.kind),
        "created": timestamp(info.created_ns),
        "updated": timestamp(info.updated_ns),
        "labels": dict(info.labels),
    }


def details_shape(details: SnapshotDetails) -> dict[str, object]:
    """Return all that the store knows of a snapshot."""
    return {
        **info_shape(details.info),
        "owner": str(details.owner),
        "driver": details.driver,
        "durability": str(details.durability),
        "directory": details.directory,
        "lowerdirs": list(details.lowerdirs),
        "usage": None if details.usage is None else usage_shape(details.usage),
        "id_maps": _id_maps(details),
    }


def _id_maps(details: SnapshotDetails) -> dict[str, str] | None:
    maps = details.id_maps
    return None if maps is None else {"uids": maps.uids, "gids": maps.gids}


def usage_shape(usage: Usage) -> dict[str, object]:
    """Return the disk space of a snapshot."""
    return {"size_bytes": usage.size_bytes, "inodes": usage.inodes}


def mount_shape(mount: Mount) -> dict[str, object]:
    """Return a mount with the field names of containerd's ``types.Mount``."""
    return {
        "type": mount.type,
        "source": mount.source,
        "target": mount.target,
        "options": list(mount.options),
    }


def garbage_shape(garbage: Garbage) -> dict[str, object]:
    """Return one thing that cleanup reclaims."""
    return {
        "path": garbage.path,
        "reason": garbage.reason,
        "usage": None if garbage.usage is None else usage_shape(garbage.usage),
    }


def finding_shape(finding: Finding) -> dict[str, object]:
    """Return one finding of check."""
    return {
        "severity": str(finding.severity),
        "code": finding.code,
        "subject": finding.subject,
        "detail": finding.detail,
    }


def status_shape(status: StoreStatus) -> dict[str, object]:
    """Return who serves a store and how."""
    return {
        "root": status.root,
        "store_id": status.store_id,
        "format_version": status.format_version,
        "xattr_prefix": status.xattr_prefix,
        "driver": status.driver,
        "durability": str(status.durability),
        "pid": status.pid,
        "snapshots": status.snapshots,
        "trash_entries": status.trash_entries,
    }
