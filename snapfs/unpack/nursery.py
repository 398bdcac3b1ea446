"""The process that has loaded what applies a layer, and forks one for each.

Starting an interpreter and loading takes as long as unpacking ten mebibytes; a fork
takes a hundredth of that. Each layer still has a process of its own. The nursery has
one thread and no layer's memory; it hears from the pipeline by a socket alone:

- A message there asks for a process. With it come descriptors: one end of a channel,
  the blob's, the directory's, and any that are only to be kept open.
- An end of the channel that the pipeline has closed or shut down: the process is to
  be killed. So nobody writes for a pipeline that is dead.
- The end of the socket: there will be no more; the nursery ends after the last one.

A nursery that is killed takes its processes with it.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from snapfs.syscalls import die_with_parent
from snapfs.unpack.messages import Ended

_MAX_DESCRIPTORS: Final = 8  # that may come with one request

_Work = Callable[[Sequence[int]], int]


class Nursery:
    """Forks processes that do ``work`` with the descriptors that came for them.

    ``requests`` is the nursery's from here on. ``work`` returns an exit status.
    """

    def __init__(self, requests: socket.socket, work: _Work) -> None:
        self._requests = requests
        self._work = work
        self._poll = select.poll()
        self._channels: dict[int, int] = {}  # by the process's pidfd
        self._pidfds: dict[int, int] = {}  # by the channel

    def serve(self) -> None:
        """Return after the end of the socket, once all processes have ended."""
        gc.freeze()  # a collection in a child would copy what is shared
        self._poll.register(self._requests, select.POLLIN)
        is_open = True
        while is_open or self._channels:
            ready = [fd for fd, _ in self._poll.poll()]
            for fd in ready:
                if fd in self._channels:
                    self._bury(fd)
                elif fd in self._pidfds:
                    self._poll.unregister(fd)
                    signal.pidfd_send_signal(self._pidfds[fd], signal.SIGKILL)
            # Last: it may get the number of a channel that was ready, and is closed.
            if self._requests.fileno() in ready:
                is_open = self._take_request()

    def _take_request(self) -> bool:
        """Fork for the next request; return whether there may be another."""
        message, descriptors, flags, _ = socket.recv_fds(
            self._requests, 1, _MAX_DESCRIPTORS
        )
        if not message:
            self._poll.unregister(self._requests)
            return False
        if flags & socket.MSG_CTRUNC:
            why = os.strerror(errno.EMFILE)
        else:
            why = self._start(descriptors)
        if why and descriptors:
            ended = msgspec.json.encode(Ended(why=why))
            os.write(descriptors[0], ended + b"\n")  # a new channel has room
        for fd in descriptors[0 if why else 1 :]:
            os.close(fd)
        return True

    def _start(self, descriptors: Sequence[int]) -> str:
        """Fork; return why that failed, or ""."""
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            return str(error.strerror)
        if not pid:
            self._live(parent, descriptors)
        try:
            pidfd = os.pidfd_open(pid)
        except OSError as error:
            os.kill(pid, signal.SIGKILL)  # it is nobody else: it was not waited for
            os.waitpid(pid, 0)
            return str(error.strerror)
        channel = descriptors[0]
        self._channels[pidfd] = channel
        self._pidfds[channel] = pidfd
        self._poll.register(pidfd, select.POLLIN)
        self._poll.register(channel, select.POLLRDHUP)
        return ""

    def _live(self, parent: int, descriptors: Sequence[int]) -> None:
        """Be the new process; does not return."""
        status = 1
        try:
            die_with_parent(signal.SIGKILL)
            if os.getppid() == parent:  # else it died before
                self._requests.close()
                for fd in (*self._channels, *self._pidfds):
                    os.close(fd)
                status = self._work(descriptors)
        except BaseException:  # noqa: BLE001 - a stack that is the parent's is above
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(status)

    def _bury(self, pidfd: int) -> None:
        """Tell the pipeline how a process ended."""
        channel = self._channels.pop(pidfd)
        del self._pidfds[channel]
        self._poll.unregister(pidfd)
        with contextlib.suppress(KeyError):  # it was killed from here
            self._poll.unregister(channel)
        found = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
        assert found is not None  # without WNOHANG
        has_exited = found.si_code == os.CLD_EXITED
        status = found.si_status if has_exited else -found.si_status
        ended = msgspec.json.encode(Ended(status))
        with contextlib.suppress(OSError), socket.socket(fileno=channel) as end:
            # The line before may be torn. Nobody is waited for here: an end without
            # a word is understood, too.
            end.send(b"\n" + ended + b"\n", socket.MSG_DONTWAIT)
        os.close(pidfd)
