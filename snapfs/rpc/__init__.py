"""gRPC over unix sockets: bytes in, bytes out."""
