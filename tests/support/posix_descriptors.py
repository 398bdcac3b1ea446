"""Descriptors that are closed when a case is over, and what they reach."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_CLOCK_REALTIME_COARSE: Final = 5  # linux/time.h: what stamps files


@contextlib.contextmanager
def opened(
    path: Path | str, flags: int = os.O_RDONLY, mode: int = 0o666
) -> Iterator[int]:
    """Open ``path``; close it afterwards."""
    fd = os.open(path, flags, mode)
    try:
        yield fd
    finally:
        os.close(fd)


def reopened(fd: int) -> str:
    """Return the path by which open(2) makes a new description of ``fd``'s file."""
    return f"/proc/self/fd/{fd}"


@contextlib.contextmanager
def umask(mask: int) -> Iterator[None]:
    """Have this umask, and afterwards the former one."""
    former = os.umask(mask)
    try:
        yield
    finally:
        os.umask(former)


def wait_for_the_clock(stamp_ns: int) -> None:
    """Return when a change that happens now gets a later stamp than ``stamp_ns``.

    Files are stamped with a clock that ticks every few milliseconds.
    """
    while time.clock_gettime_ns(_CLOCK_REALTIME_COARSE) <= stamp_ns:
        pass
