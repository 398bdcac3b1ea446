"""The process that serves one union mount; its keeper starts another if it dies."""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import resource
import sys
from collections.abc import Callable

from snapfs.fuse.control import start_control
from snapfs.fuse.opened import LiveMount
from snapfs.fuse.operations import Context, handlers_of
from snapfs.fuse.operations.opens import Opens
from snapfs.fuse.recovery import SharedMemory
from snapfs.fuse.recovery.buffers import SharedBuffers
from snapfs.fuse.recovery.memory import WORD_IS_SERVING
from snapfs.fuse.recovery.node_log import NodeLog
from snapfs.fuse.recovery.restore import write_all
from snapfs.fuse.recovery.successor import Successor
from snapfs.fuse.session import WORKERS, Reply, Request, Session, Wait
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

_OOM_SCORE: Final = "-900"
"""One killed server is a pause of its containers: let others go first."""


class Server:
    """Serves a mount that its keeper holds.

    Args:
        live: The mount.
        memory: What is kept for the next server, and was by the last one.
    """

    def __init__(self, live: LiveMount, memory: SharedMemory) -> None:
        self._live = live
        self._memory = memory
        self._is_handing_over = False

    def run(self, *, is_successor: bool) -> int:
        """Serve until the mount is gone or a signal comes; return how it ended.

        Args:
            is_successor: Go on where another server left off.

        Raises:
            OSError: From the device or the layers.
        """
        self._prepare_process()
        live, memory = self._live, self._memory
        opened = live.union
        union = Union(opened.stack, opened.options())
        changes = Changes(union, opened.work)
        context = Context(
            union, changes, opened.config, is_read_only=opened.is_read_only
        )
        if opened.config.mode == "io":
            context.opens = Opens(union, live.connection.fd)
        log = NodeLog(memory)
        size = live.negotiated.buffer_size
        successor = Successor(context, live, memory) if is_successor else None
        if successor is not None:
            successor.collect(log, size)
        buffers = (
            SharedBuffers(memory, size) if successor is None else successor.buffers
        )
        union.nodes.log = log
        if context.opens is not None:
            context.opens.log = log
        handlers = handlers_of(context)
        wait_of = self._wait_of(context)
        session = Session(
            live.connection,
            handlers,
            negotiated=live.negotiated,
            unmounts=False,
            buffers=buffers,
            workers=WORKERS if wait_of is None else MANY_WORKERS,
            wait_of=wait_of,
        )
        context.attach(session)
        if opened.config.is_debugging:
            session.set_trace(_trace)
        self._keep_short(log, session, context)
        if successor is not None:
            successor.go_on(log, session, handlers)
        gc.freeze()
        start_control(context, session, memory)
        memory.words[WORD_IS_SERVING] = 1
        session.run()
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
        with (
            contextlib.suppress(OSError),
            open("/proc/self/oom_score_adj", "w") as file,
        ):
            file.write(_OOM_SCORE)  # EACCES as an ordinary user

    def _wait_of(self, context: Context) -> Callable[[Request], Wait | None] | None:
        if not any(layer.is_remote for layer in context.union.stack.layers[1:]):
            return None
        from snapfs.fuse.operations.remote import RemoteLayers

        return RemoteLayers(context).wait_of

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
