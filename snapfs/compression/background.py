"""A producer on a thread of its own, a few blocks ahead of its consumer."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from snapfs.closing import Closing


class Background(Closing):
    """Runs ``read_block`` on a thread, at most ``depth`` blocks ahead.

    Decompression and hashing let go of the interpreter lock, so they overlap with
    what the consumer does. Blocks, the end and errors arrive in order. Call
    ``close`` in any case; the object is a context manager for that.

    Args:
        read_block: Returns the next bytes; b"" at the end. It runs on the thread
            only.
        depth: How many blocks may wait, 1 at least.
    """

    def __init__(self, read_block: Callable[[], bytes], depth: int) -> None:
        self._read_block = read_block
        self._depth = depth
        self._blocks: deque[bytes] = deque()
        self._error: BaseException | None = None
        self._ended = False
        self._closed = False
        lock = threading.Lock()
        self._filled = threading.Condition(lock)
        self._drained = threading.Condition(lock)
        self._thread = threading.Thread(
            target=self._run, name="read-ahead", daemon=True
        )
        self._thread.start()

    def read_block(self) -> bytes:
        """Return the next block; b"" at the end, however often it is asked for.

        Raises:
            BaseException: What ``read_block`` raised, after the blocks before it.
            ValueError: This was closed.
        """
        with self._filled:
            while not (self._blocks or self._ended or self._closed):
                self._filled.wait()
            if self._closed:
                raise ValueError("read from a closed reader")
            if self._blocks:
                block = self._blocks.popleft()
                # Half of them at a time: else each would cost a switch of threads.
                if len(self._blocks) == self._depth // 2:
                    self._drained.notify()
                return block
            if self._error:
                raise self._error
            return b""

    def close(self) -> None:
        """Stop the thread, and wait until it has; it may be called twice.

        A ``read_block`` under way is waited for: whoever can end it sooner, by
        closing its source, does so before.
        """
        with self._filled:
            self._closed = True
            self._blocks.clear()
            self._filled.notify_all()
            self._drained.notify_all()
        self._thread.join()

    def _run(self) -> None:
        """Produce until the end, an error or ``close``."""
        try:
            while self._has_room():
                block = self._read_block()
                with self._filled:
                    if not block:
                        break
                    self._blocks.append(block)
                    self._filled.notify()
        except BaseException as error:  # noqa: BLE001 - raised where it is consumed
            self._error = error
        with self._filled:
            self._ended = True
            self._filled.notify_all()

    def _has_room(self) -> bool:
        """Wait until another block may be produced; return False after ``close``."""
        with self._drained:
            while len(self._blocks) >= self._depth and not self._closed:
                self._drained.wait()
            return not self._closed
