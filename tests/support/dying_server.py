"""snapfs-fuse whose server dies at a step that a test has chosen.

``python -m support.dying_server COUNTDOWN ARGUMENT...``: the file COUNTDOWN holds three
numbers of eight bytes. While the first is not 0, each call and each return in the
server's interpreter, of Python and of C functions, makes it one less; at 0 the server
kills itself, and counts that in the second. The third takes the place of the first
then, for the server that comes next.
"""

from __future__ import annotations

import mmap
import os
import signal
import sys
import threading
from types import FrameType
from typing import Final

from snapfs.fuse.helper.main import main as helper
from snapfs.fuse.server import Server

BYTES: Final = 24


def main(countdown: str, *arguments: str) -> int:
    """Run the helper on ``arguments``."""
    with open(countdown, "r+b") as file:
        words = memoryview(mmap.mmap(file.fileno(), BYTES)).cast("Q")
    original = Server.run

    def step(_frame: FrameType, _event: str, _argument: object) -> None:
        left = words[0]
        if not left:
            return
        words[0] = left - 1
        if left == 1:
            words[0], words[2] = words[2], 0
            words[1] += 1
            os.kill(os.getpid(), signal.SIGKILL)

    def run(self: Server) -> int:
        threading.setprofile(step)
        sys.setprofile(step)
        return original(self)

    Server.run = run  # type: ignore[method-assign]  # the point of this program
    sys.argv = ["snapfs-fuse", *arguments]
    return helper()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
