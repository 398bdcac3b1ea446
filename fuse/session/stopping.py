"""Signals that end a session in an orderly way."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from snapfs.light_typing import Final

ENDING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Signals that end a session."""

HAND_OVER: Final = signal.SIGUSR2
"""Asks a server to leave its mount to another one."""


@contextmanager
def stopped_by_signals(
    stop: Callable[[], None], hand_over: Callable[[], None] | None = None
) -> Iterator[bool]:
    """Call ``stop`` on SIGTERM, SIGINT and SIGHUP; put the old handlers back after.

    ``hand_over`` is called on :data:`HAND_OVER`.

    Only the main thread of a process can: yields False, and does nothing, in another.
    """
    if threading.current_thread() is not threading.main_thread():
        yield False
        return

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop()

    def on_hand_over(_number: int, _frame: FrameType | None) -> None:
        if hand_over is not None:
            hand_over()

    before = [(number, signal.signal(number, on_signal)) for number in ENDING]
    before.append((HAND_OVER, signal.signal(HAND_OVER, on_hand_over)))
    try:
        yield True
    finally:
        for number, handler in before:
            signal.signal(number, handler)
