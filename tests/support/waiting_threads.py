"""Threads, seen from another one."""

from __future__ import annotations

import sys
from types import CodeType, FrameType


def waits_within(thread: int, code: CodeType) -> bool:
    """Whether the thread is in a call that the function ``code`` of its makes.

    That it makes to start a thread does not count: it ends by itself.
    """
    frame: FrameType | None = sys._current_frames()[thread]
    names = []
    while frame is not None and frame.f_code is not code:
        names.append(frame.f_code.co_name)
        frame = frame.f_back
    return frame is not None and bool(names) and "start" not in names
