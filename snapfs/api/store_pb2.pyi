# mypy: disable-error-code="type-arg"
from google.protobuf import empty_pb2 as _empty_pb2
from snapfs.api import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Usage(_message.Message):
    __slots__ = ("size_bytes", "inodes")
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    INODES_FIELD_NUMBER: _ClassVar[int]
    size_bytes: int
    inodes: int
    def __init__(self, size_bytes: _Optional[int] = ..., inodes: _Optional[int] = ...) -> None: ...

class SnapshotDetails(_message.Message):
    __slots__ = ("name", "parent", "kind", "created_ns", "updated_ns", "labels", "owner", "directory", "lowerdirs", "driver", "durability", "usage", "content", "uid_map", "gid_map")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    CREATED_NS_FIELD_NUMBER: _ClassVar[int]
    UPDATED_NS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    DIRECTORY_FIELD_NUMBER: _ClassVar[int]
    LOWERDIRS_FIELD_NUMBER: _ClassVar[int]
    DRIVER_FIELD_NUMBER: _ClassVar[int]
    DURABILITY_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    UID_MAP_FIELD_NUMBER: _ClassVar[int]
    GID_MAP_FIELD_NUMBER: _ClassVar[int]
    name: str
    parent: str
    kind: str
    created_ns: int
    updated_ns: int
    labels: _containers.ScalarMap[str, str]
    owner: str
    directory: bytes
    lowerdirs: _containers.RepeatedScalarFieldContainer[bytes]
    driver: str
    durability: str
    usage: Usage
    content: bytes
    uid_map: str
    gid_map: str
    def __init__(self, name: _Optional[str] = ..., parent: _Optional[str] = ..., kind: _Optional[str] = ..., created_ns: _Optional[int] = ..., updated_ns: _Optional[int] = ..., labels: _Optional[_Mapping[str, str]] = ..., owner: _Optional[str] = ..., directory: _Optional[bytes] = ..., lowerdirs: _Optional[_Iterable[bytes]] = ..., driver: _Optional[str] = ..., durability: _Optional[str] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ..., content: _Optional[bytes] = ..., uid_map: _Optional[str] = ..., gid_map: _Optional[str] = ...) -> None: ...

class DetailsRequest(_message.Message):
    __slots__ = ("key",)
    KEY_FIELD_NUMBER: _ClassVar[int]
    key: str
    def __init__(self, key: _Optional[str] = ...) -> None: ...

class DetailsResponse(_message.Message):
    __slots__ = ("details",)
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    details: SnapshotDetails
    def __init__(self, details: _Optional[_Union[SnapshotDetails, _Mapping]] = ...) -> None: ...

class ListDetailsRequest(_message.Message):
    __slots__ = ("filters",)
    FILTERS_FIELD_NUMBER: _ClassVar[int]
    filters: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, filters: _Optional[_Iterable[str]] = ...) -> None: ...

class ListDetailsResponse(_message.Message):
    __slots__ = ("details",)
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    details: _containers.RepeatedCompositeFieldContainer[SnapshotDetails]
    def __init__(self, details: _Optional[_Iterable[_Union[SnapshotDetails, _Mapping]]] = ...) -> None: ...

class BrowseMountsRequest(_message.Message):
    __slots__ = ("key", "upperdir", "workdir")
    KEY_FIELD_NUMBER: _ClassVar[int]
    UPPERDIR_FIELD_NUMBER: _ClassVar[int]
    WORKDIR_FIELD_NUMBER: _ClassVar[int]
    key: str
    upperdir: bytes
    workdir: bytes
    def __init__(self, key: _Optional[str] = ..., upperdir: _Optional[bytes] = ..., workdir: _Optional[bytes] = ...) -> None: ...

class BrowseMountsResponse(_message.Message):
    __slots__ = ("mounts",)
    MOUNTS_FIELD_NUMBER: _ClassVar[int]
    mounts: _containers.RepeatedCompositeFieldContainer[_types_pb2.Mount]
    def __init__(self, mounts: _Optional[_Iterable[_Union[_types_pb2.Mount, _Mapping]]] = ...) -> None: ...

class ForceRemoveRequest(_message.Message):
    __slots__ = ("key",)
    KEY_FIELD_NUMBER: _ClassVar[int]
    key: str
    def __init__(self, key: _Optional[str] = ...) -> None: ...

class ReclaimRequest(_message.Message):
    __slots__ = ("dry_run",)
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    dry_run: bool
    def __init__(self, dry_run: _Optional[bool] = ...) -> None: ...

class Garbage(_message.Message):
    __slots__ = ("path", "reason", "usage")
    PATH_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    path: bytes
    reason: str
    usage: Usage
    def __init__(self, path: _Optional[bytes] = ..., reason: _Optional[str] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ...) -> None: ...

class ReclaimResponse(_message.Message):
    __slots__ = ("garbage",)
    GARBAGE_FIELD_NUMBER: _ClassVar[int]
    garbage: _containers.RepeatedCompositeFieldContainer[Garbage]
    def __init__(self, garbage: _Optional[_Iterable[_Union[Garbage, _Mapping]]] = ...) -> None: ...

class CheckRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Finding(_message.Message):
    __slots__ = ("severity", "code", "subject", "detail")
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    severity: str
    code: str
    subject: bytes
    detail: bytes
    def __init__(self, severity: _Optional[str] = ..., code: _Optional[str] = ..., subject: _Optional[bytes] = ..., detail: _Optional[bytes] = ...) -> None: ...

class CheckResponse(_message.Message):
    __slots__ = ("findings",)
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    findings: _containers.RepeatedCompositeFieldContainer[Finding]
    def __init__(self, findings: _Optional[_Iterable[_Union[Finding, _Mapping]]] = ...) -> None: ...

class StatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StatusResponse(_message.Message):
    __slots__ = ("root", "store_id", "format_version", "xattr_prefix", "driver", "durability", "pid", "snapshots", "trash_entries")
    ROOT_FIELD_NUMBER: _ClassVar[int]
    STORE_ID_FIELD_NUMBER: _ClassVar[int]
    FORMAT_VERSION_FIELD_NUMBER: _ClassVar[int]
    XATTR_PREFIX_FIELD_NUMBER: _ClassVar[int]
    DRIVER_FIELD_NUMBER: _ClassVar[int]
    DURABILITY_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOTS_FIELD_NUMBER: _ClassVar[int]
    TRASH_ENTRIES_FIELD_NUMBER: _ClassVar[int]
    root: bytes
    store_id: str
    format_version: int
    xattr_prefix: str
    driver: str
    durability: str
    pid: int
    snapshots: int
    trash_entries: int
    def __init__(self, root: _Optional[bytes] = ..., store_id: _Optional[str] = ..., format_version: _Optional[int] = ..., xattr_prefix: _Optional[str] = ..., driver: _Optional[str] = ..., durability: _Optional[str] = ..., pid: _Optional[int] = ..., snapshots: _Optional[int] = ..., trash_entries: _Optional[int] = ...) -> None: ...

class StageRequest(_message.Message):
    __slots__ = ("count",)
    COUNT_FIELD_NUMBER: _ClassVar[int]
    count: int
    def __init__(self, count: _Optional[int] = ...) -> None: ...

class StageResponse(_message.Message):
    __slots__ = ("snapshot_ids",)
    SNAPSHOT_IDS_FIELD_NUMBER: _ClassVar[int]
    snapshot_ids: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, snapshot_ids: _Optional[_Iterable[int]] = ...) -> None: ...

class NewLayer(_message.Message):
    __slots__ = ("name", "snapshot_id", "parent", "labels", "shares", "root_opaque", "usage", "index_generation")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_ID_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    SHARES_FIELD_NUMBER: _ClassVar[int]
    ROOT_OPAQUE_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    INDEX_GENERATION_FIELD_NUMBER: _ClassVar[int]
    name: str
    snapshot_id: int
    parent: str
    labels: _containers.ScalarMap[str, str]
    shares: str
    root_opaque: bool
    usage: Usage
    index_generation: int
    def __init__(self, name: _Optional[str] = ..., snapshot_id: _Optional[int] = ..., parent: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., shares: _Optional[str] = ..., root_opaque: _Optional[bool] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ..., index_generation: _Optional[int] = ...) -> None: ...

class PublishRequest(_message.Message):
    __slots__ = ("layers", "durability")
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    DURABILITY_FIELD_NUMBER: _ClassVar[int]
    layers: _containers.RepeatedCompositeFieldContainer[NewLayer]
    durability: str
    def __init__(self, layers: _Optional[_Iterable[_Union[NewLayer, _Mapping]]] = ..., durability: _Optional[str] = ...) -> None: ...
