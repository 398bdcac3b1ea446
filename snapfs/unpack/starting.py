"""The pipeline's side of the nursery: workers are started by way of it."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Sequence

from snapfs.closing import Closing
from snapfs.errors import UnavailableError


class LayerProcesses(Closing):
    """Starts the processes that apply layers, by way of one nursery for all.

    All methods may run in any thread.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._nursery: subprocess.Popen[bytes] | None = None
        self._requests: socket.socket | None = None
        self._at_work = 0
        self._is_closed = False

    def start(self, descriptors: Sequence[int]) -> socket.socket:
        """Have a process started; return the pipeline's end of its channel.

        ``descriptors`` are those that it gets besides. :meth:`release` must follow.

        Raises:
            OSError: No process or socket is to be had.
            UnavailableError: :meth:`close` was called.
        """
        ours, theirs = socket.socketpair()
        try:
            with theirs, self._changed:
                self._ask((theirs.fileno(), *descriptors))
                self._at_work += 1
                self._changed.notify_all()
        except BaseException:
            ours.close()
            raise
        return ours

    def release(self) -> None:
        """Say that a process that was started has ended."""
        with self._changed:
            self._at_work -= 1

    def rest(self, linger_s: float) -> None:
        """End the nursery unless something is started within ``linger_s``."""
        with self._changed:
            if not self._changed.wait_for(self._is_wanted, linger_s):
                self._end()

    def close(self) -> None:
        """End the nursery; processes that it has started are waited for."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
            self._end()

    def _is_wanted(self) -> bool:
        """Whether it need not rest: it works, or has ended."""
        return bool(self._at_work) or self._is_closed

    def _ask(self, descriptors: Sequence[int]) -> None:
        if self._is_closed:
            raise UnavailableError("no more layers are applied: the end was asked for")
        if self._requests is not None:
            try:
                socket.send_fds(self._requests, [b"+"], descriptors)
            except ConnectionError:
                self._end()  # somebody has killed it
            else:
                return
        self._requests, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
        with theirs:
            self._nursery = subprocess.Popen(
                [sys.executable, "-m", "snapfs.unpack"],
                stdin=theirs.fileno(),
                cwd="/",
                start_new_session=True,  # Ctrl-C is for the pipeline to handle
            )
        socket.send_fds(self._requests, [b"+"], descriptors)

    def _end(self) -> None:
        if self._requests is not None:
            self._requests.close()
            self._requests = None
        if self._nursery is not None:
            self._nursery.wait()
            self._nursery = None
