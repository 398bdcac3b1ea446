"""Threads that are started when they are first needed, and waited for at the end.

Leaner than ``concurrent.futures``, which makes an object with a lock and a condition
for each call; a call here has nobody who waits for it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final, TypeAlias

_log = logging.getLogger(__name__)

Job: TypeAlias = Callable[[], None]

# Threads that wait for their next job. What a burst needs beyond them ends after it.
_SPARE_THREADS: Final = 16


class ThreadPool:
    """At most ``limit`` jobs at a time, and a queue before them.

    A thread that is not the pool's may do a job in the place of one (``enter``). The
    pool's own are daemons: one that hangs does not keep the process alive.
    """

    def __init__(self, name: str, limit: int) -> None:
        self._name = name
        self._limit = limit
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._threads: set[threading.Thread] = set()
        self._started = 0
        self._ending: threading.Thread | None = None
        self._running = 0  # or about to be taken from the queue by an idle thread
        self._guests = 0
        self._waiting: deque[Job] = deque()
        self._is_stopped = False

    def submit(self, job: Job) -> bool:
        """Run ``job`` on a thread, when one is free.

        Returns:
            False if the pool is stopped or no thread could be started.
        """
        with self._lock:
            if self._is_stopped:
                return False
            if self._running < self._limit:
                return self._start_job(job)
            if not self._threads and not self._start_thread():
                return False
            self._waiting.append(job)
        return True

    def submit_now(self, job: Job) -> bool:
        """Run ``job`` if a thread is free at once; return whether one was."""
        with self._lock:
            return self._has_room() and self._start_job(job)

    def enter(self) -> bool:
        """Take the place of one of the threads, for one job: ``run`` must follow.

        Returns:
            False if the pool is stopped or has as many jobs as it may.
        """
        with self._lock:
            if not self._has_room():
                return False
            self._running += 1
            self._guests += 1
        return True

    def run(self, job: Job) -> None:
        """Do ``job`` on the calling thread, which has entered; nothing is raised."""
        self._do(job)
        with self._lock:
            self._guests -= 1
            self._finish()

    def stop(self, deadline: float) -> bool:
        """Take no further jobs; end the threads once all is finished.

        Args:
            deadline: When to give up, on the monotonic clock.

        Returns:
            Whether all is finished. If not, a later call may find that it is.
        """
        with self._changed:
            self._is_stopped = True
            is_finished = self._changed.wait_for(
                lambda: not self._running, max(0.0, deadline - time.monotonic())
            )
            if not is_finished:
                return False  # what waits still needs threads, those of hung jobs apart
            threads = list(self._threads)
            if self._ending is not None:
                threads.append(self._ending)
        for _ in threads:
            self._queue.put(None)
        for thread in threads:
            thread.join()
        return True

    def _has_room(self) -> bool:
        return not self._is_stopped and self._running < self._limit

    def _start_job(self, job: Job) -> bool:
        """Give a job to a thread that is idle, or a new one; with the lock held."""
        if (
            self._running - self._guests >= len(self._threads)
            and not self._start_thread()
            and not self._threads
        ):
            return False
        self._running += 1
        self._queue.put(job)
        return True

    def _start_thread(self) -> bool:
        thread = threading.Thread(
            target=self._work, name=f"{self._name}-{self._started}", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # the process has too many threads
            if not self._threads:
                _log.exception("no thread can be started")
            return False
        self._started += 1
        self._threads.add(thread)
        return True

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            self._do(job)
            del job  # it may hold a large request
            with self._lock:
                self._finish()
                is_spare = self._leave_if_spare()
            if is_spare:
                return

    def _do(self, job: Job) -> None:
        try:
            job()
        except BaseException:  # noqa: BLE001 - logged; others count on this thread
            _log.exception("a job of %s failed", self._name)

    def _finish(self) -> None:
        """Count a job as done and begin the next; with the lock held."""
        self._running -= 1
        if self._waiting:
            self._start_job(self._waiting.popleft())  # there is a thread since it came
        elif self._is_stopped:
            self._changed.notify_all()

    def _leave_if_spare(self) -> bool:
        """End the calling thread, with the lock held, if more wait than are useful."""
        idle = len(self._threads) - (self._running - self._guests)
        if self._is_stopped or idle <= _SPARE_THREADS:
            return False
        thread = threading.current_thread()
        self._threads.discard(thread)
        previous, self._ending = self._ending, thread
        if previous is not None:
            previous.join()  # it is through; ``stop`` then has only one to wait for
        return True
