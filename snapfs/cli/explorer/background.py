"""Work beside the keys, which the end of the program does not wait for.

Textual's own threads would be waited for, and what reads a large image through cannot
be told to stop.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from textual.app import App

from snapfs.cli.messages import describe
from snapfs.errors import SnapfsError

_Result = TypeVar("_Result")


class Background:
    """Threads that work for one app, and tell it what came of it."""

    def __init__(self, app: App[None]) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._at_work = 0

    @property
    def is_busy(self) -> bool:
        """Whether something is at work, or its result on the way."""
        return self._at_work > 0

    def run(
        self,
        work: Callable[[], _Result],
        done: Callable[[_Result], object],
        failed: Callable[[str], object],
    ) -> None:
        """Do ``work`` on a thread of its own; then call one of the others in the app.

        Nobody is called once the app has ended.
        """
        with self._lock:
            self._at_work += 1

        def run() -> None:
            try:
                self._tell(work, done, failed)
            finally:
                with self._lock:
                    self._at_work -= 1

        threading.Thread(target=run, name="background", daemon=True).start()

    def _tell(
        self,
        work: Callable[[], _Result],
        done: Callable[[_Result], object],
        failed: Callable[[str], object],
    ) -> None:
        try:
            result = work()
        except (SnapfsError, OSError) as error:
            self._call(failed, describe(error))
        except Exception as error:  # noqa: BLE001 - shown; a thread has no caller
            self._call(failed, f"{type(error).__name__}: {error}")
        else:
            self._call(done, result)

    def _call(self, callback: Callable[[_Result], object], value: _Result) -> None:
        if not self._app.is_running:
            return  # there is nobody to be told
        try:
            self._app.call_from_thread(callback, value)
        except RuntimeError:
            if self._app.is_running:
                raise
            # It has ended in this moment.
