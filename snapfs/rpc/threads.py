"""Threads that are started when they are first needed, and waited for at the end.

Leaner than ``concurrent.futures``, which makes an object with a lock and a condition
for each call; a call here has nobody who waits for it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeAlias

_log = logging.getLogger(__name__)

Job: TypeAlias = Callable[[], None]


class ThreadPool:
    """At most ``limit`` threads, and a queue before them.

    They are daemons: one that hangs does not keep the process alive.
    """

    def __init__(self, name: str, limit: int) -> None:
        self._name = name
        self._limit = limit
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._threads: list[threading.Thread] = []
        self._unfinished = 0
        self._is_stopped = False

    def submit(self, job: Job) -> bool:
        """Run ``job`` on a thread, when one is free.

        Returns:
            False if the pool is stopped or no thread could be started.
        """
        with self._lock:
            if not self._admit():
                return False
        self._queue.put(job)
        return True

    def submit_now(self, job: Job) -> bool:
        """Run ``job`` if a thread is free at once; return whether one was."""
        with self._lock:
            if self._unfinished >= self._limit or not self._admit():
                return False
        self._queue.put(job)
        return True

    def stop(self, deadline: float) -> bool:
        """Finish what is queued and end the threads.

        Args:
            deadline: When to give up, on the monotonic clock.

        Returns:
            Whether all is finished.
        """
        with self._changed:
            self._is_stopped = True
            is_finished = self._changed.wait_for(
                lambda: not self._unfinished, max(0.0, deadline - time.monotonic())
            )
            threads = list(self._threads)
        for _ in threads:
            self._queue.put(None)
        if is_finished:
            for thread in threads:
                thread.join()
        return is_finished

    def _admit(self) -> bool:
        if self._is_stopped:
            return False
        if self._unfinished >= len(self._threads) < self._limit:
            thread = threading.Thread(
                target=self._work,
                name=f"{self._name}-{len(self._threads)}",
                daemon=True,
            )
            try:
                thread.start()
            except RuntimeError:  # the process has too many threads
                if not self._threads:
                    _log.exception("no thread can be started")
                    return False
            else:
                self._threads.append(thread)
        self._unfinished += 1
        return True

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            try:
                job()
            except Exception:  # noqa: BLE001 - logged; the thread goes on
                _log.exception("a job of %s failed", self._name)
            with self._lock:
                self._unfinished -= 1
                if self._is_stopped:
                    self._changed.notify_all()
            del job  # it may hold a large request
