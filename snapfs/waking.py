"""A wait that another thread ends, or a signal."""

from __future__ import annotations

import contextlib
import os
import signal
import threading

from snapfs.closing import Closing


class Waker(Closing):
    """One thread's wait; while it is open in the main thread, signals end it.

    The kernel gives a signal to any thread. Python runs its handler in the main
    thread, but does not wake that thread from a lock that it waits for, or is about
    to; a byte in a pipe does (``signal.set_wakeup_fd``). So nothing that Ctrl-C is to
    end should wait for a lock, an event or a future there.

    Only who waits may open and close it; those that are open end in reverse order.
    """

    def __init__(self) -> None:
        # Reentrant: a signal's handler may come while the same thread holds it.
        self._lock = threading.RLock()
        self._is_open = True
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)  # set_wakeup_fd demands it
        self._is_main = threading.current_thread() is threading.main_thread()
        self._before = -1
        if self._is_main:
            self._before = signal.set_wakeup_fd(
                self._writing, warn_on_full_buffer=False
            )

    def wake(self) -> None:
        """End the wait, or the next one; any thread may call it, also too late."""
        with self._lock, contextlib.suppress(BlockingIOError):  # full: that wakes, too
            if self._is_open:
                os.write(self._writing, b"\0")

    def wait(self) -> bytes:
        """Wait; return the numbers of signals that came, and a 0 for each wake."""
        return os.read(self._reading, 4096)

    def close(self) -> None:
        """Let signals wake whom they woke before; a second call does nothing."""
        with self._lock:
            if not self._is_open:
                return
            self._is_open = False
            if self._is_main:
                signal.set_wakeup_fd(self._before)
            os.close(self._reading)
            os.close(self._writing)
