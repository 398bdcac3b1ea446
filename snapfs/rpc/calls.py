"""What a server offers: handlers by path, and what a handler learns of its caller."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import TypeAlias


@dataclasses.dataclass(frozen=True, slots=True)
class Peer:
    """The process at the other end, as it was when it connected (unix(7), SO_PEERCRED).

    Attributes:
        pid: Its number as our PID name space sees it; 0 if it does not.
        uid: Its effective user.
        gid: Its effective group.
    """

    pid: int
    uid: int
    gid: int

    def __str__(self) -> str:
        """Return the words for the log."""
        return f"pid {self.pid}, uid {self.uid}"


class CallContext:
    """A call apart from its message; calls that are alike may share one.

    Attributes:
        path: ``/service/method``.
        peer: Who calls.
    """

    __slots__ = ("_fields", "path", "peer")

    def __init__(
        self, path: str, peer: Peer, fields: tuple[tuple[bytes, bytes], ...]
    ) -> None:
        self.path = path
        self.peer = peer
        self._fields = fields

    def metadata(self, name: str) -> str:
        """Return the first value of the metadata ``name``, "" if there is none.

        ``name`` is in lower case. Binary values (``-bin``) are not offered.
        """
        wanted = name.encode()
        for key, value in self._fields:
            if key == wanted:
                return value.decode("latin-1")
        return ""


# A handler raises RpcError to refuse; any other exception is UNKNOWN to the caller.
Handler: TypeAlias = Callable[[bytes, CallContext], bytes]
# None among the responses is none: a handler that works long yields it now and then,
# and is closed if its caller has gone.
StreamHandler: TypeAlias = Callable[[bytes, CallContext], Iterator[bytes | None]]


@dataclasses.dataclass(frozen=True, slots=True)
class Route:
    """Where one path leads; exactly one of the two handlers is there.

    Attributes:
        unary: Gives the one response.
        stream: Gives any number of them.
        is_inline: Whether the connection's reader itself calls ``unary``.
    """

    unary: Handler | None = None
    stream: StreamHandler | None = None
    is_inline: bool = False
