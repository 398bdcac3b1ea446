"""Serve a small memory filesystem in a process of its own.

``python -m support.fuse_server TARGET [ALLOW_OTHER]`` prints "ready", and "ended"
when the session has ended. Reading ``slow`` takes until a line comes on standard
input.
"""

from __future__ import annotations

import sys
import threading

from snapfs.fuse.session import Later, MountOptions, Reply, Request, Session, mount
from snapfs.fuse.wire import Opcode
from support.fuse_memory import WISHES, MemoryFilesystem


def main(target: str, *words: str) -> None:
    """Serve until the session ends."""
    filesystem = MemoryFilesystem({b"a": b"contents", b"slow": b"at last"})
    line_came = threading.Event()

    def read(request: Request) -> Reply:
        if request.nodeid != filesystem.nodeid(b"slow"):
            return filesystem.read(request)
        kept = request.keep()
        print("waiting", flush=True)

        def wait_and_read() -> Reply:
            line_came.wait()
            return filesystem.read(kept)

        return Later(wait_and_read, request.nodeid)

    def await_line() -> None:
        sys.stdin.readline()
        line_came.set()

    filesystem.handlers[Opcode.READ] = read
    threading.Thread(target=await_line, daemon=True).start()
    connection = mount(target, MountOptions(allow_other="allow_other" in words))
    print("helper" if connection.by_helper else "ready", flush=True)
    Session(connection, filesystem.handlers, wishes=WISHES).run()
    print("ended", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
