"""The process that serves one union mount; its keeper starts another if it dies."""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import resource
import sys
from collections.abc import Callable, Sequence

from snapfs.fuse.control import start_control
from snapfs.fuse.opened import LiveMount
from snapfs.fuse.operations import Context, handlers_of
from snapfs.fuse.operations.opens import Opens
from snapfs.fuse.own_process import write_oom_score
from snapfs.fuse.recovery import SharedMemory
from snapfs.fuse.recovery.buffers import SharedBuffers
from snapfs.fuse.recovery.memory import WORD_IS_SERVING
from snapfs.fuse.recovery.node_log import NodeLog
from snapfs.fuse.recovery.restore import write_all
from snapfs.fuse.recovery.successor import Successor
from snapfs.fuse.session import WORKERS, Handler, Reply, Request, Session, Wait
from snapfs.fuse.union.changes import Changes
from snapfs.fuse.union.union import Union
from snapfs.fuse.wire import opcode_name
from snapfs.light_typing import Final

UNMOUNTED: Final = 0
STOPPED: Final = 74
"""A signal has ended it: the mount is to end, too."""
HANDED_OVER: Final = 75
"""Nothing is under way: another server is to go on."""

MANY_WORKERS: Final = 64
"""Threads where layers are remote: so many calls may hang before others wait."""

_DESCRIPTORS: Final = 2048
"""Of directories, files read and written, and layers: more are seldom open at once."""

_OOM_SCORE: Final = -900
"""One killed server is a pause of its containers: let others go first."""


class Server:
    """Serves a mount that its keeper holds."""

    def __init__(
        self, live: LiveMount, memory: SharedMemory, *, is_successor: bool
    ) -> None:
        """Make what a server needs.

        The first is made by the keeper: whatever a process does for the first time
        after it was forked has the kernel copy pages, while requests wait.

        Args:
            live: The mount.
            memory: What is kept for the next server, and was by the last one.
            is_successor: Go on where another server left off.

        Raises:
            OSError: From the layers.
        """
        self._live = live
        self._memory = memory
        self._is_successor = is_successor
        opened = live.union
        union = Union(opened.stack, opened.options())
        changes = Changes(union, opened.work)
        self._context = context = Context(
            union, changes, opened.config, is_read_only=opened.is_read_only
        )
        if opened.config.mode == "io":
            context.opens = Opens(union, live.connection.fd)
        self._log = NodeLog(memory)
        self._handlers: Sequence[Handler | None] = ()
        self._session: Session | None = None
        if not is_successor:
            self._session = self._make_session()

    def _make_session(self) -> Session:
        """Have all changes noted from here on, and make what answers requests."""
        live, context, log = self._live, self._context, self._log
        context.union.nodes.log = log
        if context.opens is not None:
            context.opens.log = log
        self._handlers = handlers_of(context)
        wait_of = _wait_of(context)
        session = Session(
            live.connection,
            self._handlers,
            negotiated=live.negotiated,
            unmounts=False,
            workers=WORKERS if wait_of is None else MANY_WORKERS,
            wait_of=wait_of,
        )
        context.attach(session)
        if context.config.is_debugging:
            session.set_trace(_trace)
        self._keep_short(log, session, context)
        return session

    def run(self) -> int:
        """Serve until the mount is gone or a signal comes; return how it ended.

        Raises:
            OSError: From the device or the layers.
        """
        self._prepare_process()
        live, memory, context = self._live, self._memory, self._context
        size = live.negotiated.buffer_size
        session = self._session
        if session is None:
            successor = Successor(context, live, memory)
            successor.collect(self._log, size)
            session = self._make_session()
            buffers = successor.buffers
            successor.go_on(self._log, session, self._handlers)
        else:
            buffers = SharedBuffers(memory, size)
        gc.freeze()
        start_control(context, session, memory)
        memory.words[WORD_IS_SERVING] = 1
        session.run(buffers)
        if not session.was_stopped:
            return UNMOUNTED
        if session.has_tasks and not session.is_handing_over:
            # A layer hangs, and so will the end of this process: the mount must not.
            live.connection.unmount()
        return HANDED_OVER if session.is_handing_over else STOPPED

    def _prepare_process(self) -> None:
        # Reference counts free all that requests leave; cycles would be a mistake.
        gc.disable()
        _make_room_for_descriptors(self._live.connection.fd)
        write_oom_score(_OOM_SCORE)

    def _keep_short(self, log: NodeLog, session: Session, context: Context) -> None:
        def write(new: NodeLog) -> None:
            write_all(new, context.union, context.opens)

        def make_anew() -> None:
            # An answer that is under way has counted references that it may not give.
            if session.has_tasks:
                session.in_loop(make_anew)
                return
            with session.lock:
                log.checkpoint(write)

        log.on_long = lambda: session.in_loop(make_anew)


def _wait_of(context: Context) -> Callable[[Request], Wait | None] | None:
    if not any(layer.is_remote for layer in context.union.stack.layers[1:]):
        return None
    from snapfs.fuse.operations.remote import RemoteLayers

    return RemoteLayers(context).wait_of


def _make_room_for_descriptors(fd: int) -> None:
    """Have the kernel's table of this process's files as large as it will be.

    Where threads share it the kernel waits for a grace period of RCU each time that it
    doubles (``expand_fdtable``, fs/file.c): 10 ms, and all requests with it.
    """
    most = min(_DESCRIPTORS, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    with contextlib.suppress(OSError):  # EMFILE: then it is as large already
        os.close(fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, most - 1))


def _trace(opcode: int, nodeid: int, reply: Reply) -> None:
    if isinstance(reply, int):
        outcome = os.strerror(-reply)
    elif isinstance(reply, (bytes, bytearray, memoryview)):
        outcome = f"{len(reply)} bytes"
    else:
        outcome = "no reply" if reply is None else "in parts"
    sys.stderr.write(f"{opcode_name(opcode)} {nodeid}: {outcome}\n")
