"""The tasks of a session: their order, their replies, their interruption."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from functools import partial

from snapfs.fuse.session.pool import WorkerPool
from snapfs.fuse.session.replies import ReplyWriter, failure, log_failure
from snapfs.fuse.session.request import Handler, Later, Reply, Request
from snapfs.fuse.session.task import Task
from snapfs.fuse.wire.structs import INTERRUPT_IN
from snapfs.light_typing import Final, TypeAlias

_ONE_QUEUE: Final = 0
_PATIENCE_S: Final = 10.0
"""For tasks when the session ends: what takes longer hangs in a layer."""

Wait: TypeAlias = Callable[[], object]


class Workers:
    """Runs tasks, answers them, and makes the calls that follow a reply.

    Args:
        writer: Sends the replies.
        counters: Counts them; no other thread does.
        lock: The session's, for handlers that had to wait.
        limit: Threads at most.
        on_idle: Called when the last thread has no more work.
    """

    def __init__(
        self,
        writer: ReplyWriter,
        counters: list[int],
        *,
        lock: threading.Lock,
        limit: int,
        on_idle: Callable[[], None],
    ) -> None:
        self._writer = writer
        self._counters = counters
        self._count_lock = threading.Lock()
        self._lock = lock
        self.running: dict[int, Task] = {}
        self._tasks: WorkerPool[Task] = WorkerPool(
            self._execute, limit=limit, name="snapfs-worker", on_idle=on_idle
        )
        # Its own thread: a notification may wait for a caller whom a task answers.
        self._calls: WorkerPool[Callable[[], object]] = WorkerPool(
            _call, limit=1, name="snapfs-notify"
        )
        self.busy = self._tasks.keys

    def submit(
        self, later: Later, request: Request, after: list[Callable[[], object]]
    ) -> None:
        """Run ``later`` for ``request``, reply, and then call what is in ``after``."""
        self._enqueue(Task(later, request, after))

    def _enqueue(self, task: Task) -> None:
        # What waits has a queue of its own; no node has a number below 0.
        self._tasks.submit(task.key if task.wait is None else ~task.unique, task)

    def current(self) -> Task | None:
        """Return the task that the calling thread runs, if it is a worker."""
        return self.running.get(threading.get_ident())

    def in_order(self, handler: Handler) -> Handler:
        """Return ``handler`` behind the tasks of the node that a request is about."""
        busy = self.busy

        def answer(request: Request) -> Reply:
            if request.nodeid not in busy:
                return handler(request)
            run = partial(self._run_locked, handler, request.keep())
            return Later(run, request.nodeid)

        return answer

    def after_wait(
        self, handler: Handler, wait_of: Callable[[Request], Wait | None]
    ) -> Handler:
        """Return ``handler`` behind what ``wait_of`` says has to be awaited first."""

        def answer(request: Request) -> Reply:
            wait = wait_of(request)
            if wait is None:
                return handler(request)
            run = partial(self._run_locked, handler, request.keep())
            return Later(run, request.nodeid, wait)

        return answer

    def interrupt(self, request: Request) -> Reply:
        """Handle INTERRUPT: what is queued is answered, what runs can see it.

        What waits before it runs is answered too, though the wait goes on.
        """
        (unique,) = INTERRUPT_IN.unpack_from(request.body)

        def is_meant(task: Task) -> bool:
            if task.unique != unique:
                return False
            task.signalled()
            return task.is_interrupted()

        for task in self._tasks.running():
            if is_meant(task) and self._give_up(task):
                self._finish(task, -errno.EINTR)
        withdrawn = self._tasks.withdraw(is_meant)
        if withdrawn is not None:
            self._finish(withdrawn, -errno.EINTR)
        return None  # an INTERRUPT itself is never answered

    def call_after(self, calls: list[Callable[[], object]]) -> None:
        """Make the calls in a thread of their own, in order; empty the list."""
        for call in calls:
            self._calls.submit(_ONE_QUEUE, call)
        calls.clear()

    def drain(self) -> None:
        """Return when every task has ended, but for those that hang or only wait."""
        self._tasks.drain(_PATIENCE_S, _has_begun)

    def drain_calls(self) -> None:
        """Return when every call that followed a reply has ended."""
        self._calls.drain()

    def _run_locked(self, handler: Handler, request: Request) -> Reply:
        with self._lock:
            return handler(request)

    def _execute(self, task: Task) -> None:
        thread = threading.get_ident()
        self.running[thread] = task
        reply: Reply = -errno.EINTR
        try:
            if task.wait is not None and not self._await(task):
                return
            if not task.is_interrupted():
                reply = task.run()
            while isinstance(reply, Later) and _is_next(reply, task):
                reply = reply.run()  # a deferred one, whose turn this is
        except Exception as error:  # noqa: BLE001 - one request must not end all
            reply = failure(task.opcode, error)
        finally:
            del self.running[thread]
        if isinstance(reply, Later):
            task.run, task.key, task.wait = reply.run, reply.key, reply.wait
            self._enqueue(task)
            return
        self._finish(task, reply)

    def _await(self, task: Task) -> bool:
        """Wait as a task has to; say whether its caller still awaits the reply."""
        assert task.wait is not None
        task.wait()
        with self._count_lock:
            task.wait = None
            return not task.is_answered

    def _give_up(self, task: Task) -> bool:
        """Take back a task that has not come further than waiting."""
        with self._count_lock:
            if task.wait is None or task.is_answered:
                return False
            task.is_answered = True
            return True

    def _finish(self, task: Task, reply: Reply) -> None:
        if reply is not None:
            with self._count_lock:
                self._writer.send(task.unique, reply, self._counters)
        if task.after:
            self.call_after(task.after)


def _has_begun(key: int) -> bool:
    """Tell the queue of a node from that of a task which waits."""
    return key >= 0


def _is_next(reply: Later, task: Task) -> bool:
    """Say whether the rest of a task is the turn of the thread that runs it."""
    return reply.key == task.key and reply.wait is None


def _call(call: Callable[[], object]) -> None:
    try:
        call()
    except Exception as error:  # noqa: BLE001 - nobody awaits it; it is logged
        log_failure("a notification", error)
