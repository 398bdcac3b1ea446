"""How somebody else, a signal's handler perhaps, ends long work in good order."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from snapfs.errors import UnavailableError


class Stop:
    """A wish that some work ends; :meth:`ask` may be called from anywhere, often.

    What was begun is removed by the work itself. Once an unpack publishes, it goes on:
    it is as good as done, and either all snapshots exist or none.

    Args:
        work: What messages call the work.
    """

    def __init__(self, work: str = "the unpack") -> None:
        self._work = work
        # Reentrant: a signal's handler may interrupt the very thread that holds it.
        self._lock = threading.RLock()
        self._is_asked = False
        self._actions: list[Callable[[], None]] = []

    @property
    def is_asked(self) -> bool:
        """Whether the work is to end."""
        return self._is_asked

    def ask(self) -> None:
        """Let the work end soon."""
        with self._lock:
            if self._is_asked:
                return  # also while the first call, which this one interrupts, acts
            self._is_asked = True
            actions = list(self._actions)
        for action in actions:
            action()

    def check(self) -> None:
        """Do nothing, as long as nobody has asked.

        Raises:
            UnavailableError: Somebody has.
        """
        if self._is_asked:
            raise UnavailableError(f"{self._work} was stopped")

    @contextlib.contextmanager
    def calling(self, action: Callable[[], None]) -> Iterator[None]:
        """Have ``action`` called when somebody asks during the block.

        Raises:
            UnavailableError: Somebody has asked before.
        """
        with self._lock:
            self.check()
            self._actions.append(action)
        try:
            yield
        finally:
            with self._lock:
                self._actions.remove(action)
