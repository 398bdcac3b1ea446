"""gRPC over unix sockets: bytes in, bytes out.

A server and a client for HTTP/2 (RFC 9113) with gRPC's framing, for calls on one
machine. ``docs/architecture.md`` says why this is our own.
"""

from snapfs.rpc.calls import CallContext, Peer, Route
from snapfs.rpc.client import RpcClient
from snapfs.rpc.server import RpcServer
from snapfs.rpc.status import RpcError

__all__ = ["CallContext", "Peer", "Route", "RpcClient", "RpcError", "RpcServer"]
