"""gRPC's health checking protocol: whether this socket is served.

A call that gets here has found a process that reads, parses and answers, which is all
that a probe wants to know; a store that is damaged is ``snapfs check``'s business, and
no reason to restart. ``Watch`` is not offered: the protocol lets a server answer it
UNIMPLEMENTED, and clients then go on without.
"""

from __future__ import annotations

from collections.abc import Collection

from snapfs.api import health_pb2 as pb
from snapfs.api import methods
from snapfs.errors import NotFoundError
from snapfs.service.dispatch import Endpoints, UnaryEndpoint


def health_endpoints(services: Collection[str]) -> Endpoints:
    """Return the calls of the protocol by path.

    Args:
        services: The full names of those that the socket has.
    """

    def check(request: pb.HealthCheckRequest) -> pb.HealthCheckResponse:
        # "" asks for the server as a whole.
        if request.service and request.service not in services:
            raise NotFoundError(f"service {request.service!r} is not offered here")
        return pb.HealthCheckResponse(status=pb.HealthCheckResponse.SERVING)

    call = UnaryEndpoint(methods.HEALTH_CHECK, check)
    return Endpoints({call.path: call}, {})
