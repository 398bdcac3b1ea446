"""containerd's snapshots service over any ``Snapshotter``: conversion, no more.

``info`` is set in every response that has one: containerd's client reads it without
a check and would panic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from snapfs.api import convert, methods
from snapfs.api import snapshots_pb2 as pb
from snapfs.errors import InvalidArgumentError
from snapfs.service.dispatch import Endpoints, StreamEndpoint, UnaryEndpoint
from snapfs.service.encoded_infos import EncodedInfos
from snapfs.service.status import removal_status_of
from snapfs.snapshotter import Snapshotter

_MessageT = TypeVar("_MessageT", bound=Message)
_ItemT = TypeVar("_ItemT")

# A batch ends early at this size, so that a hundred snapshots with many labels still
# fit into one message.
_BATCH_BYTES: Final = methods.MAX_MESSAGE_BYTES // 4


class SnapshotsServicer:
    """The ten calls; each takes a request message and returns the response.

    Responses that hold an info are encoded already.
    """

    def __init__(self, snapshotter: Snapshotter) -> None:
        self._snapshotter = snapshotter
        self._infos = EncodedInfos()

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
        self._infos.forget(request.key)
        return Empty()

    def remove(self, request: pb.RemoveSnapshotRequest) -> Empty:
        """Answer Remove."""
        self._snapshotter.remove(request.key)
        self._infos.forget(request.key)
        return Empty()

    def stat(self, request: pb.StatSnapshotRequest) -> bytes:
        """Answer Stat."""
        return self._infos.response(self._snapshotter.stat(request.key))

    def update(self, request: pb.UpdateSnapshotRequest) -> bytes:
        """Answer Update; an absent mask is an empty one.

        Raises:
            InvalidArgumentError: The request has no info.
        """
        if not request.HasField("info"):
            raise InvalidArgumentError("an update needs an info; the request has none")
        info = self._snapshotter.update(
            convert.info_from_proto(request.info), tuple(request.update_mask.paths)
        )
        return self._infos.response(info)

    def list(self, request: pb.ListSnapshotsRequest) -> Iterator[bytes]:
        """Answer List, a batch of snapshots in each response."""
        filters = tuple(request.filters)
        seen: set[str] = set()

        def encoded() -> Iterator[bytes]:
            for info in self._snapshotter.walk(filters):
                seen.add(info.name)
                yield self._infos.response(info)

        for batch in _batches(encoded(), len):
            yield b"".join(batch)
        if not filters and len(self._infos) > len(seen):
            self._infos.forget_others(seen)

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
    return _batches(messages, lambda message: message.ByteSize())


def _batches(
    items: Iterable[_ItemT], size_of: Callable[[_ItemT], int]
) -> Iterator[list[_ItemT]]:
    batch: list[_ItemT] = []
    size_bytes = 0
    for item in items:
        batch.append(item)
        size_bytes += size_of(item)
        if len(batch) == methods.BATCH or size_bytes >= _BATCH_BYTES:
            yield batch
            batch = []
            size_bytes = 0
    if batch:
        yield batch
