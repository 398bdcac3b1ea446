"""The loop that reads the kernel's requests and answers them.

One thread reads and, holding :attr:`Session.lock`, runs the handlers. A handler that
would wait (for a disk, for a large copy) answers with a :class:`Later`, and a worker
does the work; so a request for metadata never waits for data. The loop sleeps in
read(2): an idle mount has no wake-ups.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Sequence
from signal import SIGTERM, pthread_kill

from snapfs.fuse.session.connection import Connection
from snapfs.fuse.session.dispatch import Dispatch
from snapfs.fuse.session.handshake import initialise
from snapfs.fuse.session.notifier import Notifier
from snapfs.fuse.session.replies import ReplyWriter, failure
from snapfs.fuse.session.request import Buffers, Handler, Later, Reply, Request
from snapfs.fuse.session.statistics import BYTES_IN, Statistics
from snapfs.fuse.session.stopping import stopped_by_signals
from snapfs.fuse.session.task import Task
from snapfs.fuse.session.tracing import Trace
from snapfs.fuse.session.workers import Wait, Workers
from snapfs.fuse.wire import OPCODE_COUNT, Negotiated, Wishes
from snapfs.fuse.wire.structs import IN_HEADER
from snapfs.light_typing import Final

WORKERS: Final = 4
"""Threads at most: enough to keep a disk busy beside a large copy."""

_BODY: Final = IN_HEADER.size


class Session:
    """One mounted filesystem, served by this process.

    Attributes:
        connection: The descriptor and the mount.
        negotiated: What was agreed on; None before :meth:`run` has answered INIT.
        lock: Held while a handler runs. A task takes it for the moments in which it
            touches what handlers touch.
        notifier: Sends notifications; see there for when it may be used.
        statistics: Counters.
        is_handing_over: Whether :meth:`hand_over` was called.

    Args:
        connection: The descriptor and the mount.
        handlers: Indexed by opcode; None, or a missing one, is answered ENOSYS.
        wishes: For the negotiation, if there is still one.
        negotiated: Of a session that another process has begun: INIT is over.
        workers: Threads for tasks, at most.
        wait_of: Says of a request, with the lock, what must have returned before its
            handler is called, since that may hang; None for nothing.
        unmounts: Whether a signal to end unmounts.
    """

    def __init__(
        self,
        connection: Connection,
        handlers: Sequence[Handler | None],
        *,
        wishes: Wishes | None = None,
        negotiated: Negotiated | None = None,
        workers: int = WORKERS,
        wait_of: Callable[[Request], Wait | None] | None = None,
        unmounts: bool = True,
    ) -> None:
        self.connection = connection
        self.negotiated = negotiated
        self.lock = threading.Lock()
        self.notifier = Notifier(connection.fd)
        self.statistics = Statistics()
        self._wishes = wishes or Wishes()
        self._unmounts = unmounts
        self._writer = ReplyWriter(connection.fd)
        self._workers = Workers(
            self._writer,
            self.statistics.workers,
            lock=self.lock,
            limit=workers,
            on_idle=self._shrink,
        )
        self._running = self._workers.running
        self._dispatch = Dispatch(handlers, self._workers, wait_of)
        self._after: list[Callable[[], object]] = []
        self._chores: list[Callable[[], object]] = []
        self._buffers: Buffers | None = None
        self.is_handing_over = False
        self._is_stopping = False
        self._has_signals = False
        self._thread: int | None = None

    def run(self, buffers: Buffers | None = None) -> None:
        """Serve until the filesystem is unmounted or the session is stopped.

        ``buffers`` are those to read requests into; None to make some.

        On SIGTERM, SIGINT or SIGHUP (in the main thread) what was asked is answered,
        the filesystem is unmounted, and this returns. SIGUSR2: :meth:`hand_over`.

        Raises:
            OSError: From the device, for no reason that ends a session.
        """
        if self.negotiated is None:
            self.negotiated = initialise(self.connection.fd, self._wishes)
        self._thread = threading.get_ident()
        if buffers is None:
            buffers = Buffers(self.negotiated.buffer_size)
        self._buffers = buffers
        with stopped_by_signals(self.stop, self.hand_over) as self._has_signals:
            try:
                self._serve(buffers)
            finally:
                self._thread = None
                self._workers.drain()
        if self._is_stopping:
            os.set_blocking(self.connection.fd, True)
            if self._unmounts:
                self.connection.unmount()
        self._workers.drain_calls()

    def hand_over(self) -> None:
        """Stop, and leave the mount to another server; as :meth:`stop` otherwise."""
        self.is_handing_over = True
        self.stop()

    def stop(self) -> None:
        """Have :meth:`run` answer what was asked, and return.

        From any thread and from signal handlers. A loop that does not run in the main
        thread notices with the next request.
        """
        if self._is_stopping:
            return
        self._is_stopping = True
        # read(2) goes on after a signal (PEP 475), and now answers EAGAIN when the
        # last request has been read.
        os.set_blocking(self.connection.fd, False)
        loop = self._thread
        if loop not in (None, threading.get_ident()) and self._has_signals:
            pthread_kill(loop, SIGTERM)

    def pending(self, key: int) -> bool:
        """Say whether tasks of ``key`` are queued or running."""
        return key in self._workers.busy

    def current_task(self) -> Task | None:
        """Return the task that the calling thread runs; None in the main loop."""
        return self._workers.current()

    def is_working(self) -> bool:
        """Say whether the calling thread runs a task; it is not the main loop then."""
        return bool(self._running) and self.current_task() is not None

    def is_interrupted(self) -> bool:
        """Say whether the caller of the task that this thread runs is being killed."""
        task = self.current_task()
        return task is not None and task.is_interrupted()

    def after_reply(self, call: Callable[[], object]) -> None:
        """Have ``call`` run when the current request has been answered.

        From a handler or a task. It runs in a thread of its own, without the lock,
        in order, so that it may send notifications.
        """
        task = self.current_task()
        (self._after if task is None else task.after).append(call)

    def in_loop(self, call: Callable[[], object]) -> None:
        """Have the main loop make ``call`` once, between two requests.

        From a handler or a task. It runs without the lock when the current request
        has been answered, or one that comes later.
        """
        self._chores.append(call)

    @property
    def has_tasks(self) -> bool:
        """Whether workers have tasks, queued or running."""
        return bool(self._workers.busy)

    @property
    def was_stopped(self) -> bool:
        """Whether :meth:`stop` has ended the session, not the kernel."""
        return self._is_stopping

    def answer(self, request: Request) -> None:
        """Answer a request that was read before :meth:`run`, or have a worker do so."""
        reply: Reply
        try:
            with self.lock:
                reply = self._dispatch.busy[request.opcode](request)
        except Exception as error:  # noqa: BLE001 - one request must not end all
            reply = failure(request.opcode, error)
        if type(reply) is Later:
            self._submit(reply, request)
        else:
            self.reply(request.unique, reply)

    def reply(self, unique: int, reply: Reply) -> None:
        """Send an answer, from the thread of the main loop."""
        if reply is not None:
            self._writer.send(unique, reply, self.statistics.loop)
        self._settle()

    def set_trace(self, trace: Trace | None) -> None:
        """Have ``trace`` called for each reply, or no longer; costs nothing if not."""
        self._dispatch.set_trace(trace)

    def _serve(self, buffers: Buffers) -> None:
        request = Request(buffers)
        fd = self.connection.fd
        readv, unpack = os.readv, IN_HEADER.unpack_from
        acquire, release = self.lock.acquire, self.lock.release
        idle, busy, known = self._dispatch.idle, self._dispatch.busy, OPCODE_COUNT
        tasks = self._workers.busy
        requests, counters = self.statistics.requests, self.statistics.loop
        send, after, chores = self._writer.sender(counters), self._after, self._chores
        while True:
            vector = buffers.vector
            try:
                size = readv(fd, vector)
            except OSError as error:
                if self._is_over(error):
                    return
                continue
            buffer = vector[0]
            (
                _,
                opcode,
                unique,
                request.nodeid,
                request.uid,
                request.gid,
                request.pid,
                extended,
            ) = unpack(buffer)
            if opcode >= known:
                opcode = 0
            request.opcode = opcode
            request.unique = unique
            if extended:
                end = size - 8 * extended
                request.extensions = buffer[end:size]
                request.body = buffer[_BODY:end]
            else:
                request.extensions = None
                request.body = buffer[_BODY:size]
            requests[opcode] += 1
            counters[BYTES_IN] += size
            acquire()  # `with` costs more than what it would spare here
            try:
                reply = (busy if tasks else idle)[opcode](request)
            except Exception as error:  # noqa: BLE001 - one request must not end all
                reply = failure(opcode, error)
            finally:
                release()
            if type(reply) is Later:
                self._submit(reply, request)
            elif reply is not None:
                send(unique, reply)
            if after or chores:
                self._settle()

    def _settle(self) -> None:
        chores, self._chores[:] = list(self._chores), []
        for chore in chores:
            chore()
        self._workers.call_after(self._after)

    def _is_over(self, error: OSError) -> bool:
        code = error.errno
        if code in (errno.ENODEV, errno.ECONNABORTED):  # unmounted; aborted
            return True
        # ENOENT: the request was aborted before it could be read.
        if code in (errno.ENOENT, errno.EINTR):
            return False
        if code == errno.EAGAIN:
            if not self._is_stopping:  # another process left it so
                os.set_blocking(self.connection.fd, True)
            return self._is_stopping
        raise error

    def _submit(self, later: Later, request: Request) -> None:
        after, self._after[:] = list(self._after), []
        self._workers.submit(later, request, after)

    def _shrink(self) -> None:
        if self._buffers is not None:
            self._buffers.shrink()
