"""Which mounts lie below a directory, now, without reading the table each time."""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Iterator
from typing import Self

from snapfs.mountinfo import MOUNTINFO, mounts_below


class MountWatch:
    """Answers for names in one directory; the mount table is read when it changes.

    A poll of the open table tells whether it has changed since the last poll: POLLPRI
    and POLLERR (proc_pid_mounts(5), ``mounts_poll`` in ``fs/proc_namespace.c``).
    """

    def __init__(self, directory: str, table: int) -> None:
        self._directory = directory
        self._changes = select.poll()
        self._changes.register(table, select.POLLPRI | select.POLLERR)
        self._targets = self._read()  # after the table was opened: no change is missed

    @classmethod
    @contextlib.contextmanager
    def on(cls, directory: str) -> Iterator[Self]:
        """Watch ``directory`` during the block."""
        table = os.open(MOUNTINFO, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield cls(directory, table)
        finally:
            os.close(table)

    def mount_below(self, name: str) -> str:
        """Return a mount on ``name`` or on anything in it; "" if there is none."""
        if self._changes.poll(0):
            self._targets = self._read()
        for target in self._targets:
            if target == name or target.startswith(f"{name}/"):
                return target
        return ""

    def _read(self) -> list[str]:
        """Return what is mounted in the directory, relative to it."""
        top = os.path.realpath(self._directory) + "/"
        return [
            entry.target.removeprefix(top) for entry in mounts_below(self._directory)
        ]
