"""What the connections of a server share."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from snapfs.rpc.calls import Route
from snapfs.rpc.server_stream import Budget
from snapfs.rpc.threads import ThreadPool
from snapfs.rpc.turns import InputWatch


@dataclasses.dataclass(frozen=True, slots=True)
class ServerResources:
    """Routes, threads and limits.

    Attributes:
        routes: What is offered, by path.
        readers: Where connections are served.
        watch: Finds a reader for connections that have none.
        callers: Where calls with one response run.
        streamers: Where streams are sent.
        budget: For requests that come in parts.
        max_message_bytes: The length of a message in either direction.
        send_timeout_s: See :class:`~snapfs.rpc.connection.Connection`.
    """

    routes: Mapping[str, Route]
    readers: ThreadPool
    watch: InputWatch
    callers: ThreadPool
    streamers: ThreadPool
    budget: Budget
    max_message_bytes: int
    send_timeout_s: float
