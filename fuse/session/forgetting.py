"""FORGET and BATCH_FORGET, for one function that knows only a node and a count."""

from __future__ import annotations

from collections.abc import Callable

from snapfs.fuse.session.request import Handler, Reply, Request
from snapfs.fuse.wire import Opcode
from snapfs.fuse.wire.structs import BATCH_FORGET_IN, FORGET_IN, FORGET_ONE


def forget_handlers(
    forget: Callable[[int, int], object],
    note: Callable[[int, bytes | memoryview], object] = lambda _unique, _records: None,
) -> dict[Opcode, Handler]:
    """Return the handlers of both operations.

    Args:
        forget: Called with each (nodeid, nlookup).
        note: Called before, with the message's unique and all its records.
    """

    def one(request: Request) -> Reply:
        (nlookup,) = FORGET_IN.unpack_from(request.body)
        note(request.unique, FORGET_ONE.pack(request.nodeid, nlookup))
        forget(request.nodeid, nlookup)
        return None

    def batch(request: Request) -> Reply:
        (count,) = BATCH_FORGET_IN.unpack_from(request.body)
        end = BATCH_FORGET_IN.size + count * FORGET_ONE.size
        records = request.body[BATCH_FORGET_IN.size : end]
        note(request.unique, records)
        for nodeid, nlookup in FORGET_ONE.iter_unpack(records):
            forget(nodeid, nlookup)
        return None

    return {Opcode.FORGET: one, Opcode.BATCH_FORGET: batch}
