"""What a worker does for one request, and whether its caller still wants it."""

from __future__ import annotations

from collections.abc import Callable
from signal import SIGKILL

from snapfs.fuse.session.request import Later, Reply, Request
from snapfs.light_typing import Final

_SIGKILL_BIT: Final = 1 << (SIGKILL - 1)


class Task:
    """A request that is answered by a worker.

    Attributes:
        run: Does the work and returns the reply.
        key: Of the queue it is in.
        wait: What has to return first; None when it has, or there is nothing.
        is_answered: Its caller was killed while it waited: nothing more is done.
        after: What is to be called when the reply has been sent.
    """

    __slots__ = (
        "_was_signalled",
        "after",
        "is_answered",
        "key",
        "opcode",
        "pid",
        "run",
        "unique",
        "wait",
    )

    def __init__(
        self, later: Later, request: Request, after: list[Callable[[], object]]
    ) -> None:
        self.run: Callable[[], Reply] = later.run
        self.key = later.key
        self.wait = later.wait
        self.is_answered = False
        self.after = after
        self.unique = request.unique
        self.opcode = request.opcode
        self.pid = request.pid
        self._was_signalled = False

    def signalled(self) -> None:
        """Note that the kernel has sent an INTERRUPT for the request."""
        self._was_signalled = True

    def is_interrupted(self) -> bool:
        """Say whether the caller is being killed, so that nobody awaits the reply.

        A signal that the caller handles does not count: on a local filesystem such a
        call is not interrupted either, and programs do not expect EINTR there.
        """
        return self._was_signalled and is_dying(self.pid)


def is_dying(pid: int) -> bool:
    """Say whether the thread ``pid`` has a fatal signal pending, or is gone.

    ``complete_signal()`` in ``kernel/signal.c`` adds SIGKILL to each thread of a
    process that a signal will end.
    """
    if pid == 0:  # of a PID namespace that is not below ours
        return False
    try:
        with open(f"/proc/{pid}/status", "rb", buffering=0) as file:
            status = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return True
    _, _, rest = status.partition(b"\nSigPnd:\t")
    return bool(int(rest[:16] or b"0", 16) & _SIGKILL_BIT)
