"""containerd's diff service over any ``Differ``: conversion, no more.

UNIMPLEMENTED has a meaning here: containerd asks its next differ.
"""

from __future__ import annotations

from snapfs.api import convert, methods, types_pb2
from snapfs.api import diff_pb2 as pb
from snapfs.differ import Content, Differ, LayerOrder
from snapfs.errors import InvalidArgumentError, UnimplementedError
from snapfs.service.dispatch import Endpoints
from snapfs.service.log import Origin
from snapfs.service.long_calls import LongEndpoint
from snapfs.stopping import Stop


class DiffServicer:
    """The two calls; each takes a request message and returns the response."""

    def __init__(self, differ: Differ) -> None:
        self._differ = differ

    def apply(
        self, request: pb.ApplyRequest, origin: Origin, stop: Stop
    ) -> pb.ApplyResponse:
        """Answer Apply.

        Raises:
            InvalidArgumentError: The request has no descriptor.
            UnimplementedError: A stream processor is to decrypt the layer, or
                whatever else we do not know.
        """
        if not request.HasField("diff"):
            raise InvalidArgumentError("there is no descriptor of what to apply")
        if request.payloads:
            names = ", ".join(sorted(request.payloads))
            raise UnimplementedError(f"stream processors are not run here: {names}")
        diff = request.diff
        applied = self._differ.apply(
            Content(diff.media_type, diff.digest, diff.size),
            convert.mounts_from_proto(request.mounts),
            origin.namespace,
            is_synced=request.sync_fs,
            stop=stop,
        )
        return pb.ApplyResponse(applied=_descriptor(applied))

    def diff(
        self, request: pb.DiffRequest, origin: Origin, stop: Stop
    ) -> pb.DiffResponse:
        """Answer Diff."""
        latest_s = None
        if request.HasField("source_date_epoch"):
            latest_s = request.source_date_epoch.seconds
        made = self._differ.diff(
            convert.mounts_from_proto(request.left),
            convert.mounts_from_proto(request.right),
            LayerOrder(
                media_type=request.media_type,
                reference=request.ref,
                labels=dict(request.labels),
                latest_s=latest_s,
                namespace=origin.namespace,
                lease=origin.lease,
            ),
            stop=stop,
        )
        return pb.DiffResponse(diff=_descriptor(made))


def diff_endpoints(differ: Differ) -> Endpoints:
    """Return the calls of the service by path."""
    servicer = DiffServicer(differ)
    apply = LongEndpoint(methods.APPLY, servicer.apply)
    diff = LongEndpoint(methods.DIFF, servicer.diff)
    return Endpoints({}, {apply.path: apply, diff.path: diff})


def _descriptor(content: Content) -> types_pb2.Descriptor:
    return types_pb2.Descriptor(
        media_type=content.media_type, digest=content.digest, size=content.size_bytes
    )
