"""Serve one file over FUSE that fails when it is told to: a disk with bad moments.

``python -m support.faulty_server TARGET IMAGE CONTROL`` shows IMAGE as ``TARGET/disk``
and prints "ready". CONTROL is read before each request; a line of it is ``WHAT ERROR``
or ``WHAT SECONDS``, where WHAT is read, write or flush, ERROR the name of an errno:
``write ENOSPC``, ``flush 0.05``. See ``support.faulty_disk``.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable

from snapfs.fuse.session import Handler, MountOptions, Reply, Request, Session, mount
from snapfs.fuse.wire import FAST_FLAGS, InitFlag, Opcode, Wishes
from support.recording_server import RecordedFile

_CONTROL_BYTES = 4096


class FaultyFile(RecordedFile):
    """The handlers of a filesystem with one file that obeys the control file."""

    def __init__(self, image: int, control: int) -> None:
        super().__init__(image, os.open(os.devnull, os.O_WRONLY))
        self._control = control
        for opcode, what in (
            (Opcode.READ, "read"),
            (Opcode.WRITE, "write"),
            (Opcode.FSYNC, "flush"),
        ):
            handler = self.handlers[opcode]
            assert handler is not None
            self.handlers[opcode] = self._faulty(what, handler)

    def _faulty(self, what: str, handler: Handler) -> Callable[[Request], Reply]:
        def answer(request: Request) -> Reply:
            told = os.pread(self._control, _CONTROL_BYTES, 0).decode()
            for line in filter(None, told.splitlines()):
                name, fault = line.split()
                if name != what:
                    continue
                if fault.startswith("E"):
                    return -int(getattr(errno, fault))
                time.sleep(float(fault))
            return handler(request)

        return answer


def main(target: str, image: str, control: str) -> None:
    """Serve until the filesystem is unmounted."""
    filesystem = FaultyFile(os.open(image, os.O_RDWR), os.open(control, os.O_RDONLY))
    wishes = Wishes(flags=FAST_FLAGS & ~InitFlag.DO_READDIRPLUS)
    connection = mount(os.fsencode(target), MountOptions())
    session = Session(connection, filesystem.handlers, wishes=wishes)
    print("ready", flush=True)
    session.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
