"""Whose turn it is to read from a connection.

A reader runs a call itself where it can: to hand it to another thread costs more,
under CPython's interpreter lock, than many a call takes. For that time it gives up its
turn, and ``epoll(7)`` tells a thread that watches for all connections if something
comes in. That one takes the turn and reads on, and a third watches. If nothing comes,
the reader takes its turn back, and no thread was woken.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import threading
from collections.abc import Callable
from typing import Final

from snapfs.rpc.threads import ThreadPool

_log = logging.getLogger(__name__)

# Once each time it is asked for: what was seen is for one thread.
_ONCE: Final = select.EPOLLONESHOT
_INPUT_ONCE: Final = select.EPOLLIN | select.EPOLLONESHOT


class ReadingTurn:
    """The right to read from one socket, and to touch what belongs to the reader.

    One thread has it, or nobody, and then there are threads that have given it up and
    will ask for it again. It is a lock: who takes it sees all that was done by those
    who had it before. The maker has it first.

    Args:
        watch: Of the same server.
        fd: The socket.
        read_on: What a thread does that took the turn because there was input.

    Raises:
        OSError: The socket cannot be watched.
    """

    def __init__(
        self, watch: InputWatch, fd: int, read_on: Callable[[], object]
    ) -> None:
        self.read_on: Final = read_on
        self._watch = watch
        self._fd = fd
        self._lock = threading.Lock()
        self._lock.acquire()
        # The thread that gives up and takes back; a stale value is never its reader's.
        self._owner = 0
        watch.add(fd, self)

    @property
    def is_taken(self) -> bool:
        """Whether a thread has it at this moment."""
        return self._lock.locked()

    def give_up(self) -> None:
        """Let others read, if there is something; ``take_back`` must follow."""
        # In this order: the other way round the one event could be spent on a turn
        # that is still taken. So another thread may take the turn and even close the
        # socket in between; then this asks for an event that nobody needs, of a
        # number that may be another connection's, and a watcher finds that turn taken.
        self._owner = 0
        self._lock.release()
        self._watch.ask(self._fd)

    def take_back(self) -> bool:
        """Take the turn if nobody has it; return whether the calling thread has it."""
        me = threading.get_ident()
        if self._owner == me:
            return True
        if not self._lock.acquire(blocking=False):
            return False
        self._owner = me
        self._watch.cease(self._fd)
        return True

    def take(self) -> bool:
        """Take the turn if nobody has it; for the watcher."""
        return self._lock.acquire(blocking=False)

    def end(self) -> None:
        """Keep the turn forever; before the socket is closed."""
        self._watch.discard(self._fd)


class InputWatch:
    """Watches the sockets of a server from which nobody reads at the moment.

    Args:
        readers: Has room for a thread for each connection and each call.
    """

    def __init__(self, readers: ThreadPool) -> None:
        self._readers = readers
        self._turns: dict[int, ReadingTurn] = {}
        self._epoll = select.epoll()
        self._wake_fd = os.eventfd(0, os.EFD_CLOEXEC)
        self._epoll.register(self._wake_fd, select.EPOLLIN)
        self._is_closed = False

    def start(self) -> bool:
        """Begin to watch; return whether there was a thread for it."""
        return self._readers.submit_now(self._watch)

    def stop(self) -> None:
        """Have nobody watch any longer; the pool's end waits for the watcher."""
        if not self._is_closed:
            os.eventfd_write(self._wake_fd, 1)

    def close(self) -> None:
        """Close what was opened, once nobody watches or reads."""
        if not self._is_closed:
            self._is_closed = True
            self._epoll.close()
            os.close(self._wake_fd)

    def add(self, fd: int, turn: ReadingTurn) -> None:
        """Enter a socket, without watching it yet.

        Raises:
            OSError: The kernel refuses.
        """
        self._epoll.register(fd, _ONCE)
        self._turns[fd] = turn

    def discard(self, fd: int) -> None:
        """Forget a socket that is about to be closed."""
        del self._turns[fd]
        self._epoll.unregister(fd)

    def ask(self, fd: int) -> None:
        """Have the next input seen, or the one that is there."""
        with contextlib.suppress(OSError):  # EBADF, ENOENT, EPERM: it was closed
            self._epoll.modify(fd, _INPUT_ONCE)

    def cease(self, fd: int) -> None:
        """Have the next input not seen."""
        self._epoll.modify(fd, _ONCE)

    def _watch(self) -> None:
        """Wait for input, then become its reader and leave the watch to another."""
        while True:
            [(fd, _)] = self._epoll.poll(maxevents=1)
            if fd == self._wake_fd:
                return
            turn = self._turns.get(fd)
            # Threads that run calls take the turn later, so that it may be left.
            if turn is None or turn.is_taken:
                continue
            if not self._readers.submit_now(self._watch):
                _log.warning("no thread can be had to read from a connection")
                continue
            if turn.take():
                turn.read_on()
            return
