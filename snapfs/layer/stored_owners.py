"""Owners in the layers of containers in user namespaces.

The kernel stores what such a container writes under the host's identities that its
own are mapped to; a layer has those that the container sees. Snapshots that it was
put on belong to either side: to the container where the mount maps, to the host where
containerd made a copy with changed owners. A FUSE server that maps stores what the
container sees. Who a layer's root belongs to tells which it is.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from snapfs.model import SnapshotDetails
from snapfs.overlay_format import (
    GID_MAPPING_LABEL,
    UID_MAPPING_LABEL,
    IdMapping,
    mapped_root,
    parse_id_mappings,
)

# linux/posix_acl_xattr.h: a version, then entries of tag, permissions and identity.
_ACLS: Final = (b"system.posix_acl_access", b"system.posix_acl_default")
_ACL_HEADER_BYTES: Final = 4
_ACL_ENTRY: Final = struct.Struct("<HHI")
_ACL_USER: Final = 0x02
_ACL_GROUP: Final = 0x08

# linux/capability.h: version 3 ends with the root for which the capabilities count;
# version 2 is without, and for the root of whoever reads it.
_CAPABILITY: Final = b"security.capability"
_CAPABILITY_3: Final = struct.Struct("<I16sI")
_VERSION_2: Final = 0x02000000
_FLAGS: Final = 0x00FFFFFF

_UID, _GID = 4, 5  # in os.stat_result as a sequence
# What it has besides that sequence.
_BY_NAME: Final = (
    *("st_atime", "st_mtime", "st_ctime", "st_atime_ns", "st_mtime_ns", "st_ctime_ns"),
    *("st_blksize", "st_blocks", "st_rdev"),
)


@dataclass(frozen=True, slots=True)
class StoredOwners:
    """How identities on the disk become those that a container sees.

    Attributes:
        uids: Of users.
        gids: Of groups.
    """

    uids: tuple[IdMapping, ...]
    gids: tuple[IdMapping, ...]

    @classmethod
    def of_snapshot(cls, details: SnapshotDetails) -> StoredOwners | None:
        """Return those of a snapshot; None where nothing is mapped.

        Its labels count where the store has noted nothing: an older version made it.

        Raises:
            InvalidArgumentError: They cannot be read.
        """
        maps = details.id_maps
        if maps is None:
            return cls.of_labels(details.info.labels)
        return cls(parse_id_mappings(maps.uids), parse_id_mappings(maps.gids))

    @classmethod
    def of_labels(cls, labels: Mapping[str, str]) -> StoredOwners | None:
        """Return those of a snapshot with these labels; None where nothing is mapped.

        Raises:
            InvalidArgumentError: The labels cannot be read.
        """
        if mapped_root(labels) is None:
            return None
        return cls(
            parse_id_mappings(labels[UID_MAPPING_LABEL]),
            parse_id_mappings(labels[GID_MAPPING_LABEL]),
        )

    def hold_in(self, root: os.stat_result) -> bool:
        """Tell whether a layer with this root has the host's owners."""
        return _seen(root.st_uid, self.uids) == 0 and root.st_uid != 0

    def status(self, status: os.stat_result) -> os.stat_result:
        """Return what stat(2) tells a container."""
        seen = list(status)
        seen[_UID] = _seen(status.st_uid, self.uids)
        seen[_GID] = _seen(status.st_gid, self.gids)
        return os.stat_result(seen, {name: getattr(status, name) for name in _BY_NAME})

    def xattrs(self, xattrs: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """Return extended attributes as a container sees them."""
        seen = dict(xattrs)
        for name in _ACLS:
            if name in seen:
                seen[name] = b"".join(self._acl(seen[name]))
        if _CAPABILITY in seen:
            seen[_CAPABILITY] = self._capability(seen[_CAPABILITY])
        return seen

    def _acl(self, acl: bytes) -> Iterator[bytes]:
        yield acl[:_ACL_HEADER_BYTES]
        for tag, permissions, number in _ACL_ENTRY.iter_unpack(acl[_ACL_HEADER_BYTES:]):
            maps = {_ACL_USER: self.uids, _ACL_GROUP: self.gids}.get(tag, ())
            yield _ACL_ENTRY.pack(tag, permissions, _seen(number, maps))

    def _capability(self, value: bytes) -> bytes:
        if len(value) != _CAPABILITY_3.size:
            return value
        magic, sets, root = _CAPABILITY_3.unpack(value)
        if _seen(root, self.uids) != 0:
            return value
        return struct.pack("<I16s", _VERSION_2 | magic & _FLAGS, sets)


def _seen(number: int, mappings: Sequence[IdMapping]) -> int:
    """Return the container's identity for the host's; itself where there is none."""
    for mapping in mappings:
        if 0 <= number - mapping.host_id < mapping.size:
            return number - mapping.host_id + mapping.container_id
    return number
