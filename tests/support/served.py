"""A snapshotter behind a real socket, and calls to it that bypass our client."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import grpc

from snapfs.api.codes import Code
from snapfs.api.methods import Method, RequestT, ResponseT
from snapfs.service.server import Listener, Server
from snapfs.snapshotter import Snapshotter, Store

# Far above what a loaded machine needs; they end a test that hangs.
GRACE_S: Final = 30.0
CALL_TIMEOUT_S: Final = 60.0


@contextlib.contextmanager
def served(
    directory: Path,
    snapshotter: Snapshotter,
    admin: Store | None = None,
    *,
    workers: int = 16,
) -> Iterator[str]:
    """Serve on a socket in ``directory``; yield its address."""
    address = str(directory / "s.sock")
    server = Server([Listener(address, snapshotter, admin)], workers=workers)
    server.start()
    try:
        yield address
    finally:
        server.stop(GRACE_S)


class RawClient:
    """Calls with grpcio alone, as any client of the protocol would."""

    def __init__(self, address: str) -> None:
        self.channel = grpc.insecure_channel(
            f"unix:{address}", options=[("grpc.max_receive_message_length", -1)]
        )

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *error: object) -> None:
        self.channel.close()

    def call(
        self,
        method: Method[RequestT, ResponseT],
        request: RequestT,
        namespace: str = "",
    ) -> ResponseT:
        """Make a unary call, as containerd does: with its header."""
        stub = self.channel.unary_unary(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )
        metadata = (("containerd-namespace", namespace),) if namespace else ()
        response = stub(request, timeout=CALL_TIMEOUT_S, metadata=metadata)
        assert isinstance(response, method.response)
        return response

    def bytes_call(self, path: str, request: bytes) -> bytes:
        """Make a unary call with whatever bytes."""
        response = self.channel.unary_unary(path)(request, timeout=CALL_TIMEOUT_S)
        assert isinstance(response, bytes)
        return response

    def stream(
        self, method: Method[RequestT, ResponseT], request: RequestT
    ) -> grpc.Call:
        """Start a streaming call; iterate over what it returns, or cancel it."""
        stub = self.channel.unary_stream(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )
        return stub(request, timeout=CALL_TIMEOUT_S)


def code_of(error: grpc.RpcError) -> Code:
    """Return the status of a failed call."""
    return Code(error.code().value[0])
