"""One process owns a root: the lock, and who holds it."""

from __future__ import annotations

import contextlib
import fcntl
import os

from snapfs.light_typing import Final
from snapfs.values import dataclass

_COMM_LIMIT: Final = 200  # of a command line in a message
_PID_WIDTH: Final = 10  # one width, so that no digit of a longer number stays


@dataclass(frozen=True, slots=True)
class LockHolder:
    """The process that owns a root, as far as it can be told.

    Attributes:
        pid: Its process id; 0 where the lock file does not say.
        command: Its command line, shortened; "" where it cannot be read.
    """

    pid: int
    command: str

    @classmethod
    def of_process(cls, pid: int) -> LockHolder:
        """Return the process ``pid`` as a holder; 0 for one that is not known."""
        command = ""
        if pid:
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    words = file.read(_COMM_LIMIT).replace(b"\0", b" ")
            except OSError:
                words = b""  # gone, or of another user: the number must do
            # A word may be a whole script; a message is one line.
            command = " ".join(words.decode(errors="replace").split())
        return cls(pid, command)

    def __str__(self) -> str:
        """Return a phrase for messages."""
        if not self.pid:
            return "another process"
        return f"process {self.pid}" + (f" ({self.command})" if self.command else "")


class RootLock:
    """An exclusive flock(2) on the lock file, held until :meth:`release`.

    The kernel drops it when the process dies, however it dies. The file itself
    stays: removing it would let two processes lock two different files.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def try_acquire(cls, path: str) -> RootLock | LockHolder:
        """Lock ``path``, or say who holds it. Never waits.

        Raises:
            OSError: The file cannot be made or opened.
        """
        # The file name is ours and its directory is 0700: no link can be waiting.
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(path, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            try:
                return _holder(os.pread(descriptor, 64, 0))
            finally:
                os.close(descriptor)
        except OSError:
            os.close(descriptor)
            raise
        # A hint for messages, so a full disk must not keep anyone from opening the
        # store to remove things: written over what is there, which needs no space.
        with contextlib.suppress(OSError):
            os.pwrite(descriptor, b"%*d\n" % (_PID_WIDTH, os.getpid()), 0)
        return cls(descriptor)

    def release(self) -> None:
        """Let others own the root; a second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _holder(content: bytes) -> LockHolder:
    """Read the process id that a lock file holds, and look the process up."""
    text = content.strip()
    return LockHolder.of_process(int(text) if text.isdigit() else 0)
