"""How a call failed, in gRPC's numbers (grpc/doc/statuscodes.md).

Only the codes that a transport itself has reason to use have names here; handlers
may raise any.
"""

from __future__ import annotations

from typing import Final

OK: Final = 0
CANCELLED: Final = 1
UNKNOWN: Final = 2
DEADLINE_EXCEEDED: Final = 4
PERMISSION_DENIED: Final = 7
RESOURCE_EXHAUSTED: Final = 8
UNIMPLEMENTED: Final = 12
INTERNAL: Final = 13
UNAVAILABLE: Final = 14
UNAUTHENTICATED: Final = 16


class RpcError(Exception):
    """A call failed.

    Attributes:
        code: gRPC's number, never 0.
        message: What the other side reads; any text.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        """Return the message and the number."""
        return f"{self.message} (gRPC status {self.code})"
