"""Have the disk write what was unpacked while more is being unpacked.

The kernel begins to write when a tenth of the memory is dirty, or after half a minute
(``vm.dirty_background_ratio``, ``vm.dirty_expire_centisecs``). An unpack that is to be
on disk when it ends would wait for all of its bytes at once, after the disk has idled.
"""

from __future__ import annotations

import os
import threading
from typing import Final

from snapfs.closing import Closing
from snapfs.syscalls import syncfs

# Between two passes: long enough that few inodes are written twice.
_PAUSE_S: Final = 0.5


class WriteBack(Closing):
    """Syncs the filesystem of ``directory`` again and again, on a thread of its own.

    Whoever needs the data on disk syncs once more, after :meth:`finish`.

    Raises:
        OSError: ``directory`` cannot be opened.
    """

    def __init__(self, directory: str) -> None:
        descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
        self._is_over = threading.Event()
        self._error: OSError | None = None
        self._thread = threading.Thread(
            target=self._run, args=(descriptor,), name="write-back", daemon=True
        )
        self._thread.start()

    def finish(self) -> None:
        """Wait for the pass that is under way.

        Raises:
            OSError: The disk failed in some pass: what was written may be lost. The
                kernel tells it to nobody who comes later (``errseq_t``).
        """
        self._is_over.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Let go; a pass that is under way ends by itself, and nobody waits for it."""
        self._is_over.set()

    def _run(self, descriptor: int) -> None:
        try:
            while not self._is_over.wait(_PAUSE_S):
                syncfs(descriptor)
        except OSError as error:
            self._error = error
        finally:
            os.close(descriptor)
