"""The gate: verbs come in while the store is open; closing waits for them."""

from __future__ import annotations

import contextlib
from _thread import LockType, allocate_lock  # threading takes ten times as long to load
from collections.abc import Iterator

from snapfs.errors import UnavailableError


class Gate:
    """Counts the verbs that are at work.

    After a store is closed another process may own its root. A verb that was still
    at work then would change directories and sidecars behind the new owner's back.
    """

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._inside = 0
        self._waiters: list[LockType] = []  # each taken; the last to leave releases it
        self._is_shut = False

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Keep the store from being closed during the block.

        Raises:
            UnavailableError: It is closed, or about to be.
        """
        with self._lock:
            if self._is_shut:
                raise UnavailableError("the store is closed")
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                while self._waiters and not self._inside:
                    self._waiters.pop().release()

    @property
    def is_shut(self) -> bool:
        """Whether :meth:`shut` was called."""
        return self._is_shut

    def shut(self) -> bool:
        """Let nobody in any more; return whether this call was the first."""
        with self._lock:
            was_shut, self._is_shut = self._is_shut, True
        return not was_shut

    def wait_until_empty(self) -> None:
        """Return when the last verb has left; call :meth:`shut` before."""
        with self._lock:
            if not self._inside:
                return
            waiter = allocate_lock()
            waiter.acquire()
            self._waiters.append(waiter)
        waiter.acquire()
