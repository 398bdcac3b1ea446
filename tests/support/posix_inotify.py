"""A watch of inotify(7), whose events are names."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from support.posix_calls import inotify_add_watch, inotify_init

_EVENT: Final = struct.Struct("=iIII")
_NAMES: Final = {
    0x1: "ACCESS",
    0x2: "MODIFY",
    0x4: "ATTRIB",
    0x8: "CLOSE_WRITE",
    0x10: "CLOSE_NOWRITE",
    0x20: "OPEN",
    0x40: "MOVED_FROM",
    0x80: "MOVED_TO",
    0x100: "CREATE",
    0x200: "DELETE",
    0x400: "DELETE_SELF",
    0x800: "MOVE_SELF",
    0x8000: "IGNORED",
}
_ALL: Final = 0xFFF


class Watch:
    """What happened to a file or directory since the last look."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def events(self) -> list[tuple[str, str]]:
        """Return event and name ("" for the watched object itself), oldest first.

        The kernel queues an event before the call that causes it returns.
        """
        try:
            raw = os.read(self._fd, 1 << 16)
        except BlockingIOError:
            return []
        found, start = [], 0
        while start < len(raw):
            _, mask, _, length = _EVENT.unpack_from(raw, start)
            start += _EVENT.size
            name = raw[start : start + length].rstrip(b"\0").decode()
            start += length
            found += [(text, name) for bit, text in _NAMES.items() if mask & bit]
        return found


@contextlib.contextmanager
def watched(path: Path) -> Iterator[Watch]:
    """Watch ``path`` for everything."""
    fd = inotify_init()
    try:
        inotify_add_watch(fd, path, _ALL)
        yield Watch(fd)
    finally:
        os.close(fd)
