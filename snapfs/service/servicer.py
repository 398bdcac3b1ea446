"""containerd's snapshots service over any ``Snapshotter``: conversion, no more.

``info`` is set in every response that has one: containerd's client reads it without
a check and would panic.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from snapfs.api import convert, methods
from snapfs.api import snapshots_pb2 as pb
from snapfs.errors import InvalidArgumentError
from snapfs.service.dispatch import Endpoints, StreamEndpoint, UnaryEndpoint
from snapfs.service.status import removal_status_of
from snapfs.snapshotter import Snapshotter

_MessageT = TypeVar("_MessageT", bound=Message)

# A batch ends early at this size, so that a hundred snapshots with many labels still
# fit into one message.
_BATCH_BYTES: Final = methods.MAX_MESSAGE_BYTES // 4


class SnapshotsServicer:
    """The ten calls; each takes a request message and returns the response."""

    def __init__(self, snapshotter: Snapshotter) -> None:
        self._snapshotter = snapshotter

    def prepare(self, request: pb.PrepareSnapshotRequest) -> pb.PrepareSnapshotResponse:
        """Answer Prepare."""
        mounts = self._snapshotter.prepare(
            request.key, request.parent, dict(request.labels)
        )
        return pb.PrepareSnapshotResponse(mounts=convert.mounts_to_proto(mounts))

    def view(self, request: pb.ViewSnapshotRequest) -> pb.ViewSnapshotResponse:
        """Answer View."""
        mounts = self._snapshotter.view(
            request.key, request.parent, dict(request.labels)
        )
        return pb.ViewSnapshotResponse(mounts=convert.mounts_to_proto(mounts))

    def mounts(self, request: pb.MountsRequest) -> pb.MountsResponse:
        """Answer Mounts."""
        mounts = self._snapshotter.mounts(request.key)
        return pb.MountsResponse(mounts=convert.mounts_to_proto(mounts))

    def commit(self, request: pb.CommitSnapshotRequest) -> Empty:
        """Answer Commit."""
        self._snapshotter.commit(
            request.name, request.key, dict(request.labels), request.parent
        )
        return Empty()

    def remove(self, request: pb.RemoveSnapshotRequest) -> Empty:
        """Answer Remove."""
        self._snapshotter.remove(request.key)
        return Empty()

    def stat(self, request: pb.StatSnapshotRequest) -> pb.StatSnapshotResponse:
        """Answer Stat."""
        info = self._snapshotter.stat(request.key)
        return pb.StatSnapshotResponse(info=convert.info_to_proto(info))

    def update(self, request: pb.UpdateSnapshotRequest) -> pb.UpdateSnapshotResponse:
        """Answer Update; an absent mask is an empty one.

        Raises:
            InvalidArgumentError: The request has no info.
        """
        if not request.HasField("info"):
            raise InvalidArgumentError("an update needs an info; the request has none")
        info = self._snapshotter.update(
            convert.info_from_proto(request.info), tuple(request.update_mask.paths)
        )
        return pb.UpdateSnapshotResponse(info=convert.info_to_proto(info))

    def list(
        self, request: pb.ListSnapshotsRequest
    ) -> Iterator[pb.ListSnapshotsResponse]:
        """Answer List, a batch of snapshots in each response."""
        infos = self._snapshotter.walk(tuple(request.filters))
        for batch in batches(map(convert.info_to_proto, infos)):
            yield pb.ListSnapshotsResponse(info=batch)

    def usage(self, request: pb.UsageRequest) -> pb.UsageResponse:
        """Answer Usage."""
        return convert.usage_to_proto(self._snapshotter.usage(request.key))

    def cleanup(self, request: pb.CleanupRequest) -> Empty:
        """Answer Cleanup."""
        del request
        self._snapshotter.cleanup()
        return Empty()


def snapshots_endpoints(snapshotter: Snapshotter) -> Endpoints:
    """Return the ten calls over ``snapshotter``, by path."""
    servicer = SnapshotsServicer(snapshotter)
    calls = (
        UnaryEndpoint(methods.PREPARE, servicer.prepare),
        UnaryEndpoint(methods.VIEW, servicer.view),
        UnaryEndpoint(methods.MOUNTS, servicer.mounts),
        UnaryEndpoint(methods.COMMIT, servicer.commit),
        UnaryEndpoint(methods.REMOVE, servicer.remove, removal_status_of),
        UnaryEndpoint(methods.STAT, servicer.stat),
        UnaryEndpoint(methods.UPDATE, servicer.update),
        UnaryEndpoint(methods.USAGE, servicer.usage),
        UnaryEndpoint(methods.CLEANUP, servicer.cleanup),
    )
    streams = (StreamEndpoint(methods.LIST, servicer.list),)
    return Endpoints(
        {call.path: call for call in calls}, {call.path: call for call in streams}
    )


def batches(messages: Iterable[_MessageT]) -> Iterator[list[_MessageT]]:
    """Yield ``messages`` in lists that are short and small enough to send."""
    batch: list[_MessageT] = []
    size_bytes = 0
    for message in messages:
        batch.append(message)
        size_bytes += message.ByteSize()
        if len(batch) == methods.BATCH or size_bytes >= _BATCH_BYTES:
            yield batch
            batch = []
            size_bytes = 0
    if batch:
        yield batch
