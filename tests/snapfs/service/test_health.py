"""gRPC's health checking, by a client that is not ours."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from snapfs.api import health_pb2 as pb
from snapfs.api import methods
from snapfs.api.codes import Code
from support.memory_store import MemoryStore
from support.served import RawClient, code_of, served

SERVING = pb.HealthCheckResponse.SERVING


@pytest.mark.parametrize("service", ["", methods.SNAPSHOTS_SERVICE])
def test_what_is_served_is_healthy(tmp_path: Path, service: str) -> None:
    with served(tmp_path, MemoryStore()) as address, RawClient(address) as client:
        answer = client.call(
            methods.HEALTH_CHECK, pb.HealthCheckRequest(service=service)
        )

    assert answer.status == SERVING


def test_a_service_that_the_socket_has_not_is_not_found(tmp_path: Path) -> None:
    request = pb.HealthCheckRequest(service=methods.STORE_SERVICE)
    with (
        served(tmp_path, MemoryStore()) as address,
        RawClient(address) as client,
        pytest.raises(grpc.RpcError) as raised,
    ):
        client.call(methods.HEALTH_CHECK, request)

    assert code_of(raised.value) is Code.NOT_FOUND
