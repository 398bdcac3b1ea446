"""The keeper of a mount: holds its descriptor, and starts a server when one has died.

Everything that a server needs is open before the first is forked: the layers, the
device, the memory of its predecessor. So a new server is there within milliseconds,
imports nothing and looks for nothing. The keeper itself sleeps in waitpid(2) until a
server ends.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType

from snapfs.fuse import death
from snapfs.fuse.handover import become_new
from snapfs.fuse.opened import LiveMount
from snapfs.fuse.own_process import name_process, write_oom_score
from snapfs.fuse.recovery import SharedMemory
from snapfs.fuse.recovery.memory import (
    WORD_DIED_AT,
    WORD_IS_SERVING,
    WORD_KEEPER,
    WORD_RESTARTS,
    WORD_SUSPECT,
)
from snapfs.fuse.recovery.records import UNIQUE_MASK
from snapfs.fuse.server import HANDED_OVER, STOPPED, UNMOUNTED, Server
from snapfs.fuse.session.stopping import HAND_OVER
from snapfs.fuse.wire import InitFlag
from snapfs.fuse.wire.structs import IN_HEADER
from snapfs.light_typing import Final

_ENDING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_CRASHED: Final = 70
"""Exit status of a server that an exception has ended (``EX_SOFTWARE``)."""
_OOM_SCORE: Final = -1000
"""Never: what it holds is small, and all that its servers need."""
_SHORT_LIFE_S: Final = 10.0
_SHORT_LIVES: Final = 10
"""So many in a row, of servers that nobody killed: the next would end as they did."""
_STILLBORN: Final = 50
"""So many in a row, of servers that did not come to serve, whatever killed them."""
_PAUSE_S: Final = 0.05


class Keeper:
    """Keeps a mount served.

    Args:
        live: The mount.
        memory: What its servers leave to each other.
        say: Says a line to who operates the host.
    """

    def __init__(
        self, live: LiveMount, memory: SharedMemory, say: Callable[[str], None]
    ) -> None:
        self._live = live
        self._memory = memory
        self._say = say
        self._server = 0
        self._is_stopping = False
        self._short_lives = 0
        self._stillborn = 0
        self._stack = death.open_record()

    def run(self, on_ready: Callable[[], None], *, is_successor: bool = False) -> bool:
        """Have the mount served until it is gone, or is to go.

        ``is_successor``: go on where another keeper left off.

        ``on_ready`` is called when signals are minded. Afterwards no server is
        left; whether it is still mounted, the connection tells. Returns False if the
        mount had to be given up.
        """
        name_process("snapfs-keeper")
        write_oom_score(_OOM_SCORE)
        self._memory.words[WORD_KEEPER] = os.getpid()
        for number in (*_ENDING, HAND_OVER):
            signal.signal(number, self._on_signal)
        # As a successor's, they were blocked until now.
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        first = None
        if not is_successor:
            first = Server(self._live, self._memory, is_successor=False)
        on_ready()  # before a server inherits what the caller waits for
        # What exists now stays, and is shared with every server.
        gc.freeze()
        while not self._is_stopping:
            started = time.monotonic()
            self._memory.words[WORD_IS_SERVING] = 0
            self._start(first)
            first = None
            _, status = os.waitpid(self._server, 0)
            self._server = 0
            code = os.waitstatus_to_exitcode(status)
            if code == UNMOUNTED:
                return True
            if code == STOPPED or -code in _ENDING:
                return True
            if code == HANDED_OVER:
                self._become_new()
                continue
            if not self._may_go_on(code, time.monotonic() - started):
                return False
        return True

    def _become_new(self) -> None:
        if self._is_stopping:
            return
        if not become_new(self._live, self._memory):
            target = os.fsdecode(self._live.connection.target)
            self._say(
                f"{target}: the program that is installed now cannot go on here; a"
                " server of the present one does"
            )

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if number != HAND_OVER:
            self._is_stopping = True
        if self._server:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._server, number if number == HAND_OVER else signal.SIGTERM)

    def _start(self, server: Server | None) -> None:
        """Fork ``server``, or a successor; a signal meanwhile reaches it anyway."""
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, (*_ENDING, HAND_OVER))
        try:
            self._server = os.fork()
            if not self._server:
                # A child never returns: above are the keeper's own clean-ups.
                os._exit(self._be_the_server(server, mask))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _be_the_server(self, server: Server | None, mask: set[int]) -> int:
        for number in (*_ENDING, HAND_OVER):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        name_process("snapfs-fuse")
        try:
            death.record_faults(self._stack)
            if server is None:
                server = Server(self._live, self._memory, is_successor=True)
            return server.run()
        except OSError as error:
            if error.errno in death.UNMOUNTED:
                return UNMOUNTED
            return self._crash()
        except BaseException:  # noqa: BLE001 - written down, and told by the status
            return self._crash()

    def _crash(self) -> int:
        import traceback

        text = traceback.format_exc()
        self._memory.last_words = text
        if not os.isatty(2):
            sys.stderr.write(text)
        return _CRASHED

    def _may_go_on(self, code: int, life_s: float) -> bool:
        """Write a death down; tell whether another server is to go on."""
        memory = self._memory
        words = memory.words
        text = death.describe(code, memory.last_words, self._stack)
        memory.last_words = text
        words[WORD_DIED_AT] = int(time.time())
        is_killed = code == -signal.SIGKILL
        if not is_killed:
            self._note_suspect()
        self._stillborn = 0 if words[WORD_IS_SERVING] else self._stillborn + 1
        is_short = not is_killed and life_s < _SHORT_LIFE_S
        self._short_lives = self._short_lives + 1 if is_short else 0
        target = os.fsdecode(self._live.connection.target)
        if not self._live.negotiated.has(InitFlag.HAS_RESEND):
            why = "this kernel cannot send requests again (Linux 6.9 can)"
        elif self._short_lives >= _SHORT_LIVES or self._stillborn >= _STILLBORN:
            why = f"{max(self._short_lives, self._stillborn)} servers ended at once"
        else:
            words[WORD_RESTARTS] += 1
            self._say(f"{target}: the server {text}; another one goes on")
            if self._short_lives > 1:
                time.sleep(_PAUSE_S * 2**self._short_lives)
            return True
        self._say(
            f"{target}: the server {text}; {why}: the mount is given up, its users get"
            " ENOTCONN; unmount it"
        )
        return False

    def _note_suspect(self) -> None:
        """Count deaths at one and the same request."""
        words = self._memory.words
        last = self._memory.last_request(IN_HEADER.size)
        if last is None:
            return
        unique = IN_HEADER.unpack_from(last)[2] & UNIQUE_MASK
        is_same = unique == words[WORD_SUSPECT]
        words[WORD_SUSPECT] = unique
        words[WORD_SUSPECT + 1] = words[WORD_SUSPECT + 1] + 1 if is_same else 1
