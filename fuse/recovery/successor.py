"""How a server goes on where another one died."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from snapfs.fuse.operations.opens import unregister
from snapfs.fuse.recovery.buffers import SharedBuffers
from snapfs.fuse.recovery.fold import Folded
from snapfs.fuse.recovery.memory import WORD_IS_SERVING
from snapfs.fuse.recovery.redo import Redo
from snapfs.fuse.recovery.repair import Repair
from snapfs.fuse.recovery.restore import restore_nodes, restore_opens, write_all
from snapfs.fuse.recovery.takeover import Unanswered, apply_last_forget
from snapfs.fuse.session import Handler, Reply, Request, Session
from snapfs.fuse.session.replies import failure
from snapfs.fuse.union.workdir import purge
from snapfs.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snapfs.fuse.opened import LiveMount
    from snapfs.fuse.operations import Context
    from snapfs.fuse.recovery.memory import SharedMemory
    from snapfs.fuse.recovery.node_log import NodeLog


class Successor:
    """The steps of a takeover; a death at any of them leaves all to the next one.

    Attributes:
        buffers: To read requests into from here on.
    """

    buffers: SharedBuffers

    def __init__(self, context: Context, live: LiveMount, memory: SharedMemory) -> None:
        self._context = context
        self._live = live
        self._memory = memory
        self._unanswered = Unanswered()

    def collect(self, log: NodeLog, size: int) -> None:
        """Learn what was not answered, and make the table.

        Raises:
            OSError: From the device.
        """
        context, memory = self._context, self._memory
        fd = self._live.connection.fd
        apply_last_forget(memory, log, size)
        self.buffers = SharedBuffers(memory, size)
        self._unanswered.collect(fd, self.buffers, log)
        folded = Folded(memory.log_view(), self._unanswered.uniques)
        self._unanswered.drop_fatal(memory, fd)
        restore_nodes(context.union, folded)
        if context.opens is not None:
            restore_opens(context.opens, folded)
            with contextlib.suppress(OSError):
                # One that was registered in the moment before the death.
                unregister(fd, folded.last_backing + 1)
        # From here on no record depends on what was answered.
        log.checkpoint(lambda new: write_all(new, context.union, context.opens))

    def go_on(
        self, log: NodeLog, session: Session, handlers: Sequence[Handler | None]
    ) -> None:
        """Settle what was half done, and answer what was not.

        Raises:
            OSError: From the layers.
        """
        work = self._live.union.work
        again = [_request(message) for message in self._unanswered.resent]
        if work is not None:
            purge(work.fd, keeps_pinned=True)
            repair = Repair(self._context.union, work)
            redo = Redo(self._context, handlers, repair, self._memory)
            repair.directory_times(self._memory)
            repair.pinned_files()
            for request in again:
                if redo.is_for(request.opcode):
                    session.reply(request.unique, _answer(redo, request))
                    self._note_progress()
            for request in again:
                if not redo.is_for(request.opcode):
                    redo.look_at_nodes(request)
            again = [request for request in again if not redo.is_for(request.opcode)]
        for request in again:
            session.answer(request)
            self._note_progress()
        for message in self._unanswered.further:
            session.answer(_request(message))

    def _note_progress(self) -> None:
        self._memory.words[WORD_IS_SERVING] = 1


def _request(message: bytes) -> Request:
    request = Request()
    request.fill(memoryview(message))
    return request


def _answer(redo: Redo, request: Request) -> Reply:
    try:
        return redo.answer(request)
    except Exception as error:  # noqa: BLE001 - one request must not end all
        return failure(request.opcode, error)
