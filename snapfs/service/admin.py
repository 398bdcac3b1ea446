"""Our own service over any ``Store``: conversion, no more.

What can be long comes as a stream of batches, so that no listing outgrows a message.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from google.protobuf.empty_pb2 import Empty

from snapfs.api import convert, methods
from snapfs.api import store_pb2 as pb
from snapfs.service.dispatch import Endpoints, StreamEndpoint, UnaryEndpoint
from snapfs.service.servicer import batches
from snapfs.snapshotter import LayerStore, Store, StoreAdmin


class StoreServicer:
    """The calls of ``StoreAdmin``; each takes a request and returns the response."""

    def __init__(self, admin: StoreAdmin) -> None:
        self._admin = admin

    def details(self, request: pb.DetailsRequest) -> pb.DetailsResponse:
        """Answer Details."""
        details = self._admin.details(request.key)
        return pb.DetailsResponse(details=convert.details_to_proto(details))

    def list_details(
        self, request: pb.ListDetailsRequest
    ) -> Iterator[pb.ListDetailsResponse]:
        """Answer ListDetails."""
        details = self._admin.list_details(tuple(request.filters))
        for batch in batches(map(convert.details_to_proto, details)):
            yield pb.ListDetailsResponse(details=batch)

    def browse_mounts(self, request: pb.BrowseMountsRequest) -> pb.BrowseMountsResponse:
        """Answer BrowseMounts."""
        mounts = self._admin.browse_mounts(
            request.key,
            upperdir=os.fsdecode(request.upperdir),
            workdir=os.fsdecode(request.workdir),
        )
        return pb.BrowseMountsResponse(mounts=convert.mounts_to_proto(mounts))

    def force_remove(self, request: pb.ForceRemoveRequest) -> Empty:
        """Answer ForceRemove."""
        self._admin.force_remove(request.key)
        return Empty()

    def reclaim(self, request: pb.ReclaimRequest) -> Iterator[pb.ReclaimResponse]:
        """Answer Reclaim."""
        garbage = self._admin.reclaim(dry_run=request.dry_run)
        for batch in batches(map(convert.garbage_to_proto, garbage)):
            yield pb.ReclaimResponse(garbage=batch)

    def check(self, request: pb.CheckRequest) -> Iterator[pb.CheckResponse]:
        """Answer Check."""
        del request
        for batch in batches(map(convert.finding_to_proto, self._admin.check())):
            yield pb.CheckResponse(findings=batch)

    def status(self, request: pb.StatusRequest) -> pb.StatusResponse:
        """Answer Status."""
        del request
        return convert.status_to_proto(self._admin.status())


class LayerServicer:
    """The calls of ``LayerStore``; each takes a request and returns the response."""

    def __init__(self, layers: LayerStore) -> None:
        self._layers = layers

    def stage(self, request: pb.StageRequest) -> pb.StageResponse:
        """Answer Stage."""
        return pb.StageResponse(snapshot_ids=self._layers.stage(request.count))

    def publish(self, request: pb.PublishRequest) -> Empty:
        """Answer Publish.

        Raises:
            InvalidArgumentError: The durability is none that we know.
        """
        self._layers.publish(
            [convert.new_layer_from_proto(layer) for layer in request.layers],
            convert.durability_from_proto(request.durability),
        )
        return Empty()


def store_endpoints(store: Store) -> Endpoints:
    """Return the calls of our own service over ``store``, by path."""
    servicer = StoreServicer(store)
    layers = LayerServicer(store)
    calls = (
        UnaryEndpoint(methods.DETAILS, servicer.details),
        UnaryEndpoint(methods.BROWSE_MOUNTS, servicer.browse_mounts),
        UnaryEndpoint(methods.FORCE_REMOVE, servicer.force_remove),
        UnaryEndpoint(methods.STATUS, servicer.status),
        UnaryEndpoint(methods.STAGE, layers.stage),
        UnaryEndpoint(methods.PUBLISH, layers.publish),
    )
    streams = (
        StreamEndpoint(methods.LIST_DETAILS, servicer.list_details),
        StreamEndpoint(methods.RECLAIM, servicer.reclaim),
        StreamEndpoint(methods.CHECK, servicer.check),
    )
    return Endpoints(
        {call.path: call for call in calls}, {call.path: call for call in streams}
    )
