"""Tells systemd that the service still answers (``WatchdogSec=``, sd_notify(3)).

A process that lives may still be stuck. So it calls itself, the way its clients do,
and stays silent if no answer comes; systemd then ends and restarts it, which running
containers do not notice.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

_log: Final = logging.getLogger(__name__)


class Watchdog:
    """Beats from ``start`` to ``stop``, in a thread of its own.

    Args:
        interval_s: Time between two beats; sd_watchdog_enabled(3) recommends half of
            what systemd waits for.
        check: Raises if the service does not answer.
        beat: Tells systemd.
    """

    def __init__(
        self, interval_s: float, check: Callable[[], object], beat: Callable[[], object]
    ) -> None:
        self._interval_s = interval_s
        self._check = check
        self._beat = beat
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name="snapfs-watchdog", daemon=True
        )

    def start(self) -> None:
        """Begin with a first beat."""
        self._thread.start()

    def stop(self) -> None:
        """Beat no more; waits for a check that runs."""
        self._is_stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                self._check()
            except Exception as error:  # noqa: BLE001 - whatever it is, no beat
                _log.error("the service does not answer itself: %s", error)
            else:
                self._beat()
            if self._is_stopping.wait(self._interval_s):
                return
