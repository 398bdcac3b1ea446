"""The gate: verbs come in while the store is open; closing waits for them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from snapfs.errors import UnavailableError


class Gate:
    """Counts the verbs that are at work.

    After a store is closed another process may own its root. A verb that was still
    at work then would change directories and sidecars behind the new owner's back.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._is_shut = False

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Keep the store from being closed during the block.

        Raises:
            UnavailableError: It is closed, or about to be.
        """
        with self._changed:
            if self._is_shut:
                raise UnavailableError("the store is closed")
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @property
    def is_shut(self) -> bool:
        """Whether :meth:`shut` was called."""
        return self._is_shut

    def shut(self) -> bool:
        """Let nobody in any more; return whether this call was the first."""
        with self._changed:
            was_shut, self._is_shut = self._is_shut, True
        return not was_shut

    def wait_until_empty(self) -> None:
        """Return when the last verb has left."""
        with self._changed:
            self._changed.wait_for(lambda: not self._inside)
