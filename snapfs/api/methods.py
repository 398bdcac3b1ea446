"""The one table of calls: path, request and response of each."""

from __future__ import annotations

import dataclasses
from typing import Final, Generic, TypeVar

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from snapfs.api import diff_pb2, health_pb2, snapshots_pb2, store_pb2

SNAPSHOTS_SERVICE: Final = "containerd.services.snapshots.v1.Snapshots"
DIFF_SERVICE: Final = "containerd.services.diff.v1.Diff"
STORE_SERVICE: Final = "snapfs.services.store.v1.Store"
HEALTH_SERVICE: Final = "grpc.health.v1.Health"

# containerd's limit in both directions (defaults/defaults.go); gRPC's own for what
# is received is 4 MiB.
MAX_MESSAGE_BYTES: Final = 16 << 20

# containerd's convention for streams of snapshots (contrib/snapshotservice).
BATCH: Final = 100

# Metadata that containerd sends along (pkg/namespaces/grpc.go).
NAMESPACE_HEADER: Final = "containerd-namespace"

# The lease that keeps what a call makes from being collected (core/leases/grpc.go).
LEASE_HEADER: Final = "containerd-lease"

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)


@dataclasses.dataclass(frozen=True, slots=True)
class Method(Generic[RequestT, ResponseT]):
    """One call of a service.

    Attributes:
        service: The full name of the service.
        name: The name of the call within it.
        request: The class of the one request.
        response: The class of the response, or of each response.
        streams: Whether the answer is a stream of responses.
    """

    service: str
    name: str
    request: type[RequestT]
    response: type[ResponseT]
    streams: bool = False

    @property
    def path(self) -> str:
        """The path that stands in the HTTP/2 request."""
        return f"/{self.service}/{self.name}"


PREPARE: Final = Method(
    SNAPSHOTS_SERVICE,
    "Prepare",
    snapshots_pb2.PrepareSnapshotRequest,
    snapshots_pb2.PrepareSnapshotResponse,
)
VIEW: Final = Method(
    SNAPSHOTS_SERVICE,
    "View",
    snapshots_pb2.ViewSnapshotRequest,
    snapshots_pb2.ViewSnapshotResponse,
)
MOUNTS: Final = Method(
    SNAPSHOTS_SERVICE,
    "Mounts",
    snapshots_pb2.MountsRequest,
    snapshots_pb2.MountsResponse,
)
COMMIT: Final = Method(
    SNAPSHOTS_SERVICE, "Commit", snapshots_pb2.CommitSnapshotRequest, Empty
)
REMOVE: Final = Method(
    SNAPSHOTS_SERVICE, "Remove", snapshots_pb2.RemoveSnapshotRequest, Empty
)
STAT: Final = Method(
    SNAPSHOTS_SERVICE,
    "Stat",
    snapshots_pb2.StatSnapshotRequest,
    snapshots_pb2.StatSnapshotResponse,
)
UPDATE: Final = Method(
    SNAPSHOTS_SERVICE,
    "Update",
    snapshots_pb2.UpdateSnapshotRequest,
    snapshots_pb2.UpdateSnapshotResponse,
)
LIST: Final = Method(
    SNAPSHOTS_SERVICE,
    "List",
    snapshots_pb2.ListSnapshotsRequest,
    snapshots_pb2.ListSnapshotsResponse,
    streams=True,
)
USAGE: Final = Method(
    SNAPSHOTS_SERVICE, "Usage", snapshots_pb2.UsageRequest, snapshots_pb2.UsageResponse
)
CLEANUP: Final = Method(
    SNAPSHOTS_SERVICE, "Cleanup", snapshots_pb2.CleanupRequest, Empty
)

DETAILS: Final = Method(
    STORE_SERVICE, "Details", store_pb2.DetailsRequest, store_pb2.DetailsResponse
)
LIST_DETAILS: Final = Method(
    STORE_SERVICE,
    "ListDetails",
    store_pb2.ListDetailsRequest,
    store_pb2.ListDetailsResponse,
    streams=True,
)
BROWSE_MOUNTS: Final = Method(
    STORE_SERVICE,
    "BrowseMounts",
    store_pb2.BrowseMountsRequest,
    store_pb2.BrowseMountsResponse,
)
FORCE_REMOVE: Final = Method(
    STORE_SERVICE, "ForceRemove", store_pb2.ForceRemoveRequest, Empty
)
RECLAIM: Final = Method(
    STORE_SERVICE,
    "Reclaim",
    store_pb2.ReclaimRequest,
    store_pb2.ReclaimResponse,
    streams=True,
)
CHECK: Final = Method(
    STORE_SERVICE,
    "Check",
    store_pb2.CheckRequest,
    store_pb2.CheckResponse,
    streams=True,
)
STATUS: Final = Method(
    STORE_SERVICE, "Status", store_pb2.StatusRequest, store_pb2.StatusResponse
)
STAGE: Final = Method(
    STORE_SERVICE, "Stage", store_pb2.StageRequest, store_pb2.StageResponse
)
PUBLISH: Final = Method(STORE_SERVICE, "Publish", store_pb2.PublishRequest, Empty)

HEALTH_CHECK: Final = Method(
    HEALTH_SERVICE,
    "Check",
    health_pb2.HealthCheckRequest,
    health_pb2.HealthCheckResponse,
)

APPLY: Final = Method(
    DIFF_SERVICE, "Apply", diff_pb2.ApplyRequest, diff_pb2.ApplyResponse
)
DIFF: Final = Method(DIFF_SERVICE, "Diff", diff_pb2.DiffRequest, diff_pb2.DiffResponse)
