"""The system calls that the engine makes, one by one, without a tracer.

Each function of :mod:`os` and :mod:`fcntl` that is used here is one call; so is each of
our own wrappers. What needs no call (``os.fsencode``) is no built-in of these modules.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Final

from snapfs import file_syscalls, syscalls

_MODULES: Final = frozenset(("posix", "fcntl"))
_OURS: Final = frozenset((file_syscalls.__file__, syscalls.__file__))
_WRAPPERS: Final = frozenset(
    (
        "link_descriptor",
        "list_xattrs_at",
        "name_to_handle_at",
        "renameat2",
        "write_out",
    )
)
_NO_CALLS: Final = frozenset(("fspath", "major", "makedev", "minor"))


@contextlib.contextmanager
def system_calls() -> Iterator[list[str]]:
    """Yield a list that has the names of the calls of this thread at the end."""
    made: list[str] = []

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event == "c_call":
            name = getattr(argument, "__name__", "")
            if getattr(argument, "__module__", "") in _MODULES and (
                name not in _NO_CALLS
            ):
                made.append(name)
        elif event == "call" and frame.f_code.co_filename in _OURS:
            name = frame.f_code.co_name
            if name in _WRAPPERS:
                made.append(name)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield made
    finally:
        sys.setprofile(before)
