"""SIGTERM for commands that have something to undo."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType


class _Terminated(BaseException):
    """SIGTERM came; no error, so that nobody handles it."""


@contextlib.contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM undo what the block did before it ends the process."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except _Terminated:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTERM)  # whoever sent it sees that it worked
    finally:
        signal.signal(signal.SIGTERM, before)
