"""Handlers that tell what they answered, for ``-o debug``."""

from __future__ import annotations

import errno
from collections.abc import Callable
from functools import partial

from snapfs.fuse.session.request import Handler, Later, Reply, Request
from snapfs.light_typing import TypeAlias

Trace: TypeAlias = Callable[[int, int, Reply], object]
"""Called with the opcode, the node id and the reply of each request."""


def traced(handler: Handler, trace: Trace) -> Handler:
    """Return ``handler`` with a call of ``trace`` for each reply, in any thread."""

    def answer(request: Request) -> Reply:
        opcode, nodeid = request.opcode, request.nodeid
        tell = partial(trace, opcode, nodeid)
        return _told(partial(handler, request), tell)

    return answer


def _told(run: Callable[[], Reply], tell: Callable[[Reply], object]) -> Reply:
    try:
        reply = run()
    except OSError as error:
        tell(-(error.errno or errno.EIO))
        raise
    except Exception:
        tell(-errno.EIO)
        raise
    if isinstance(reply, Later):
        return Later(partial(_told, reply.run, tell), reply.key, reply.wait)
    tell(reply)
    return reply
