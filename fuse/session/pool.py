"""A few worker threads that start when there is work and end when there is none.

Tasks of one key run one after another, in the order they were submitted; those of
different keys run side by side and take turns. A pool without work has no threads
after a while, so that an idle mount neither wakes up nor keeps stacks in memory.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue

from snapfs.light_typing import Final, Generic, TypeVar

_JOIN_S: Final = 0.05
"""How often a pool that is to end looks whether only tasks are left that hang."""

T = TypeVar("T")

_IDLE_S: Final = 3.0
"""How long a thread waits for more work before it ends."""


class WorkerPool(Generic[T]):
    """Threads that call ``execute(task)``, which must not raise.

    ``keys`` holds every key that has tasks, running or queued; asking whether one is
    there needs no lock.

    Args:
        execute: Does one task.
        limit: How many threads there are at most.
        name: Of the threads, for who looks at the process.
        on_idle: Called by the last thread before it ends.
    """

    def __init__(
        self,
        execute: Callable[[T], None],
        *,
        limit: int,
        name: str,
        on_idle: Callable[[], None] | None = None,
    ) -> None:
        self._execute = execute
        self._limit = limit
        self._name = name
        self._on_idle = on_idle
        self._mutex = threading.Lock()
        # Keys whose first task no thread has taken yet; None ends a thread.
        self._ready: SimpleQueue[int | None] = SimpleQueue()
        self._threads: set[threading.Thread] = set()
        self._running: set[int] = set()
        self._is_closing = False
        self.keys: dict[int, deque[T]] = {}

    def submit(self, key: int, task: T) -> None:
        """Run ``task`` after all earlier ones of ``key``."""
        with self._mutex:
            queue = self.keys.get(key)
            if queue is not None:
                queue.append(task)
                return
            self.keys[key] = deque((task,))
            self._ready.put(key)
            # Each key needs a thread: a task may wait for what another key's does.
            if len(self._threads) < min(self._limit, len(self.keys)):
                self._start()

    def withdraw(self, matches: Callable[[T], bool]) -> T | None:
        """Take a queued task back; None if none matches that has not begun."""
        with self._mutex:
            for key, queue in self.keys.items():
                for position, task in enumerate(queue):
                    has_begun = position == 0 and key in self._running
                    if not has_begun and matches(task):
                        del queue[position]
                        return task
        return None

    def running(self) -> list[T]:
        """Return the tasks that have begun."""
        with self._mutex:
            return [self.keys[key][0] for key in self._running]

    def drain(
        self,
        patience_s: float = math.inf,
        matters: Callable[[int], bool] = lambda _key: True,
    ) -> None:
        """Return when every task has ended, and every thread with it.

        What is not over after ``patience_s`` seconds, or has a key that does not
        matter, is left to itself.
        """
        with self._mutex:
            self._is_closing = True
            if not self.keys:
                self._dismiss()
        end = time.monotonic() + patience_s
        while threads := list(self._threads):
            for thread in threads:
                thread.join(_JOIN_S)
            if time.monotonic() >= end or self._has_only_others(matters):
                return
        self._is_closing = False

    def _has_only_others(self, matters: Callable[[int], bool]) -> bool:
        with self._mutex:
            return bool(self.keys) and not any(map(matters, self.keys))

    def _start(self) -> None:
        thread = threading.Thread(target=self._work, name=self._name, daemon=True)
        self._threads.add(thread)
        thread.start()

    def _work(self) -> None:
        while True:
            try:
                key = self._ready.get(timeout=_IDLE_S)
            except Empty:
                if self._retire():
                    return
                continue
            if key is None:
                self._threads.discard(threading.current_thread())
                return
            self._run_first(key)

    def _run_first(self, key: int) -> None:
        with self._mutex:
            queue = self.keys[key]
            task = queue[0] if queue else None  # it may have been withdrawn
            if task is not None:
                self._running.add(key)
        if task is not None:
            self._execute(task)
        with self._mutex:
            if task is not None:
                self._running.discard(key)
                queue.popleft()
            if queue:
                self._ready.put(key)
                return
            del self.keys[key]
            if self._is_closing and not self.keys:
                self._dismiss()

    def _retire(self) -> bool:
        with self._mutex:
            if not self._ready.empty():
                return False
            self._threads.discard(threading.current_thread())
            is_last = not self._threads
        if is_last and self._on_idle is not None:
            self._on_idle()
        return True

    def _dismiss(self) -> None:
        for _ in self._threads:
            self._ready.put(None)
