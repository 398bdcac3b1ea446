"""The whole store over a socket: containerd's contract and the administration."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from snapfs.api import convert, methods
from snapfs.api import store_pb2 as pb
from snapfs.model import (
    Durability,
    Finding,
    Garbage,
    Mount,
    NewLayer,
    SnapshotDetails,
    StoreStatus,
)
from snapfs.remote.snapshotter import RemoteSnapshotter, encodable


class RemoteStore(RemoteSnapshotter):
    """Implements :class:`snapfs.snapshotter.Store` over the local socket.

    ``timeout_s`` does not bound ``reclaim``, ``check`` and ``publish``, which take as
    long as there is much to read or to sync.
    """

    def details(self, key: str) -> SnapshotDetails:
        """See :meth:`snapfs.snapshotter.StoreAdmin.details`."""
        with encodable():
            request = pb.DetailsRequest(key=key)
        response = self._channel.call(methods.DETAILS, request)
        return convert.details_from_proto(response.details)

    def list_details(self, filters: Sequence[str] = ()) -> Iterator[SnapshotDetails]:
        """See :meth:`snapfs.snapshotter.StoreAdmin.list_details`."""
        with encodable():
            request = pb.ListDetailsRequest(filters=list(filters))
        responses = self._channel.stream(methods.LIST_DETAILS, request)
        return (
            convert.details_from_proto(details)
            for response in responses
            for details in response.details
        )

    def browse_mounts(
        self, key: str, *, upperdir: str = "", workdir: str = ""
    ) -> list[Mount]:
        """See :meth:`snapfs.snapshotter.StoreAdmin.browse_mounts`."""
        with encodable():
            request = pb.BrowseMountsRequest(
                key=key, upperdir=os.fsencode(upperdir), workdir=os.fsencode(workdir)
            )
        response = self._channel.call(methods.BROWSE_MOUNTS, request)
        return convert.mounts_from_proto(response.mounts)

    def force_remove(self, key: str) -> None:
        """See :meth:`snapfs.snapshotter.StoreAdmin.force_remove`."""
        with encodable():
            request = pb.ForceRemoveRequest(key=key)
        self._channel.call(methods.FORCE_REMOVE, request)

    def reclaim(self, *, dry_run: bool = False) -> list[Garbage]:
        """See :meth:`snapfs.snapshotter.StoreAdmin.reclaim`."""
        request = pb.ReclaimRequest(dry_run=dry_run)
        responses = self._channel.stream(methods.RECLAIM, request, is_long=True)
        return [
            convert.garbage_from_proto(garbage)
            for response in responses
            for garbage in response.garbage
        ]

    def check(self) -> list[Finding]:
        """See :meth:`snapfs.snapshotter.StoreAdmin.check`."""
        responses = self._channel.stream(methods.CHECK, pb.CheckRequest(), is_long=True)
        return [
            convert.finding_from_proto(finding)
            for response in responses
            for finding in response.findings
        ]

    def status(self) -> StoreStatus:
        """See :meth:`snapfs.snapshotter.StoreAdmin.status`."""
        response = self._channel.call(methods.STATUS, pb.StatusRequest())
        return convert.status_from_proto(response)

    def stage(self, count: int) -> list[int]:
        """See :meth:`snapfs.snapshotter.LayerStore.stage`."""
        with encodable():
            request = pb.StageRequest(count=count)
        return list(self._channel.call(methods.STAGE, request).snapshot_ids)

    def publish(
        self, layers: Sequence[NewLayer], durability: Durability | None = None
    ) -> None:
        """See :meth:`snapfs.snapshotter.LayerStore.publish`."""
        with encodable():
            request = pb.PublishRequest(
                layers=[convert.new_layer_to_proto(layer) for layer in layers],
                durability=durability.value if durability else "",
            )
        self._channel.call(methods.PUBLISH, request, is_long=True)
