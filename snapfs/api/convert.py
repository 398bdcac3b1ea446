"""Messages to values and back, field by field; nothing is decided here.

A ``str`` that may hold a file name travels as ``bytes`` where the message is ours
(``store.proto``); containerd's messages have ``string`` fields, which refuse names
that are not UTF-8 with ``UnicodeEncodeError``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from types import MappingProxyType
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from snapfs.api import snapshots_pb2, store_pb2, types_pb2
from snapfs.errors import InvalidArgumentError
from snapfs.model import (
    Durability,
    Finding,
    Garbage,
    IdMaps,
    Info,
    Kind,
    Mount,
    NewLayer,
    Owner,
    Severity,
    SnapshotDetails,
    StoreStatus,
    Usage,
)

_NS_PER_S: Final = 10**9

_KIND_TO_PROTO: Final = {
    Kind.VIEW: snapshots_pb2.VIEW,
    Kind.ACTIVE: snapshots_pb2.ACTIVE,
    Kind.COMMITTED: snapshots_pb2.COMMITTED,
}
_KIND_FROM_PROTO: Final[dict[int, Kind]] = {
    number: kind for kind, number in _KIND_TO_PROTO.items()
}


def timestamp_to_proto(time_ns: int) -> Timestamp:
    """Convert ns since the epoch, exactly; times before it as well."""
    seconds, nanos = divmod(time_ns, _NS_PER_S)
    return Timestamp(seconds=seconds, nanos=nanos)


def timestamp_from_proto(timestamp: Timestamp) -> int:
    """Return ns since the epoch, exactly."""
    return timestamp.seconds * _NS_PER_S + timestamp.nanos


def info_to_proto(info: Info) -> snapshots_pb2.Info:
    """Convert the info of one snapshot."""
    return snapshots_pb2.Info(
        name=info.name,
        parent=info.parent,
        kind=_KIND_TO_PROTO[info.kind],
        created_at=timestamp_to_proto(info.created_ns),
        updated_at=timestamp_to_proto(info.updated_ns),
        labels=dict(info.labels),
    )


def info_from_proto(info: snapshots_pb2.Info) -> Info:
    """Convert the info of one snapshot.

    A kind that is absent or not known reads as committed, as containerd reads it
    (``core/snapshots/proxy/convert.go``).
    """
    return Info(
        name=info.name,
        parent=info.parent,
        kind=_KIND_FROM_PROTO.get(info.kind, Kind.COMMITTED),
        created_ns=timestamp_from_proto(info.created_at),
        updated_ns=timestamp_from_proto(info.updated_at),
        labels=MappingProxyType(dict(info.labels)),
    )


def usage_to_proto(usage: Usage) -> snapshots_pb2.UsageResponse:
    """Convert a usage into containerd's response."""
    return snapshots_pb2.UsageResponse(size=usage.size_bytes, inodes=usage.inodes)


def usage_from_proto(usage: snapshots_pb2.UsageResponse) -> Usage:
    """Convert containerd's response into a usage."""
    return Usage(size_bytes=usage.size, inodes=usage.inodes)


def mounts_to_proto(mounts: Iterable[Mount]) -> list[types_pb2.Mount]:
    """Convert mounts, in order."""
    return [
        types_pb2.Mount(
            type=mount.type,
            source=mount.source,
            target=mount.target,
            options=mount.options,
        )
        for mount in mounts
    ]


def mounts_from_proto(mounts: Iterable[types_pb2.Mount]) -> list[Mount]:
    """Convert mounts, in order."""
    return [
        Mount(
            type=mount.type,
            source=mount.source,
            target=mount.target,
            options=tuple(mount.options),
        )
        for mount in mounts
    ]


def details_to_proto(details: SnapshotDetails) -> store_pb2.SnapshotDetails:
    """Convert the details of one snapshot."""
    id_maps = details.id_maps or IdMaps("", "")
    return store_pb2.SnapshotDetails(
        name=details.info.name,
        parent=details.info.parent,
        kind=details.info.kind.value,
        created_ns=details.info.created_ns,
        updated_ns=details.info.updated_ns,
        labels=dict(details.info.labels),
        owner=details.owner.value,
        directory=os.fsencode(details.directory),
        lowerdirs=[os.fsencode(lowerdir) for lowerdir in details.lowerdirs],
        driver=details.driver,
        durability=details.durability.value,
        usage=_own_usage_to_proto(details.usage),
        content=os.fsencode(details.content),
        uid_map=id_maps.uids,
        gid_map=id_maps.gids,
    )


def details_from_proto(details: store_pb2.SnapshotDetails) -> SnapshotDetails:
    """Convert the details of one snapshot."""
    return SnapshotDetails(
        info=Info(
            name=details.name,
            parent=details.parent,
            kind=Kind(details.kind),
            created_ns=details.created_ns,
            updated_ns=details.updated_ns,
            labels=MappingProxyType(dict(details.labels)),
        ),
        owner=Owner(details.owner),
        directory=os.fsdecode(details.directory),
        content=os.fsdecode(details.content),
        lowerdirs=tuple(os.fsdecode(lowerdir) for lowerdir in details.lowerdirs),
        driver=details.driver,
        durability=Durability(details.durability),
        usage=_own_usage_from_proto(details.usage)
        if details.HasField("usage")
        else None,
        id_maps=IdMaps(details.uid_map, details.gid_map) if details.uid_map else None,
    )


def garbage_to_proto(garbage: Garbage) -> store_pb2.Garbage:
    """Convert one thing that was, or would be, reclaimed."""
    return store_pb2.Garbage(
        path=os.fsencode(garbage.path),
        reason=garbage.reason,
        usage=_own_usage_to_proto(garbage.usage),
    )


def garbage_from_proto(garbage: store_pb2.Garbage) -> Garbage:
    """Convert one thing that was, or would be, reclaimed."""
    return Garbage(
        path=os.fsdecode(garbage.path),
        reason=garbage.reason,
        usage=_own_usage_from_proto(garbage.usage)
        if garbage.HasField("usage")
        else None,
    )


def finding_to_proto(finding: Finding) -> store_pb2.Finding:
    """Convert one contradiction."""
    return store_pb2.Finding(
        severity=finding.severity.value,
        code=finding.code,
        subject=os.fsencode(finding.subject),
        detail=os.fsencode(finding.detail),
    )


def finding_from_proto(finding: store_pb2.Finding) -> Finding:
    """Convert one contradiction."""
    return Finding(
        severity=Severity(finding.severity),
        code=finding.code,
        subject=os.fsdecode(finding.subject),
        detail=os.fsdecode(finding.detail),
    )


def status_to_proto(status: StoreStatus) -> store_pb2.StatusResponse:
    """Convert who serves a store, and how."""
    return store_pb2.StatusResponse(
        root=os.fsencode(status.root),
        store_id=status.store_id,
        format_version=status.format_version,
        xattr_prefix=status.xattr_prefix,
        driver=status.driver,
        durability=status.durability.value,
        pid=status.pid,
        snapshots=status.snapshots,
        trash_entries=status.trash_entries,
    )


def new_layer_to_proto(layer: NewLayer) -> store_pb2.NewLayer:
    """Convert a layer that is to be published."""
    return store_pb2.NewLayer(
        name=layer.name,
        snapshot_id=layer.snapshot_id,
        parent=layer.parent,
        labels=dict(layer.labels),
        shares=layer.shares,
        root_opaque=layer.root_opaque,
        usage=_own_usage_to_proto(layer.usage),
        index_generation=layer.index_generation,
    )


def new_layer_from_proto(layer: store_pb2.NewLayer) -> NewLayer:
    """Convert a layer that is to be published."""
    return NewLayer(
        name=layer.name,
        snapshot_id=layer.snapshot_id,
        parent=layer.parent,
        labels=MappingProxyType(dict(layer.labels)),
        shares=layer.shares,
        root_opaque=layer.root_opaque,
        usage=_own_usage_from_proto(layer.usage) if layer.HasField("usage") else None,
        index_generation=layer.index_generation,
    )


def durability_from_proto(word: str) -> Durability | None:
    """Convert how data is to be written; None for "".

    Raises:
        InvalidArgumentError: There is no such mode.
    """
    try:
        return Durability(word) if word else None
    except ValueError as error:
        raise InvalidArgumentError(f"there is no durability {word!r}") from error


def status_from_proto(status: store_pb2.StatusResponse) -> StoreStatus:
    """Convert who serves a store, and how."""
    return StoreStatus(
        root=os.fsdecode(status.root),
        store_id=status.store_id,
        format_version=status.format_version,
        xattr_prefix=status.xattr_prefix,
        driver=status.driver,
        durability=Durability(status.durability),
        pid=status.pid,
        snapshots=status.snapshots,
        trash_entries=status.trash_entries,
    )


def _own_usage_to_proto(usage: Usage | None) -> store_pb2.Usage | None:
    if usage is None:
        return None
    return store_pb2.Usage(size_bytes=usage.size_bytes, inodes=usage.inodes)


def _own_usage_from_proto(usage: store_pb2.Usage) -> Usage:
    return Usage(size_bytes=usage.size_bytes, inodes=usage.inodes)
