"""Processes that do the fuzzer's operations, each as its user, one at a time.

An actor runs chrooted to the mount, so that no symlink and no ".." leads out of it. It
lives as long as one mount: its descriptors are gone before that is unmounted.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from support.differential_descriptors import CALLS
from support.differential_operations import (
    Held,
    Operation,
    Outcome,
    Sight,
    perform,
)
from support.differential_view import View, read_view
from support.sandbox import patiently

USERS: Final[Sequence[tuple[int, int, tuple[int, ...]]]] = (
    (0, 0, ()),
    (1000, 1000, (2000,)),
    (1001, 1001, (1000,)),
)
"""Of each actor: user, group, supplementary groups."""

ANSWER_TIMEOUT_S: Final = 120
HANGS: Final = "no answer"
DIED: Final = "the actor died"
# Said, since later forks hold copies of the pipe: its closing alone ends nobody.
_END: Final = "end"
Calls = Mapping[str, Callable[..., object]]


class Actors:
    """One process for each of :data:`USERS`, at work in one mount."""

    def __init__(self, root: Path, sight: Sight, calls: Calls = CALLS) -> None:
        context = multiprocessing.get_context("fork")
        self._pipes: list[Connection] = []
        self._processes = []
        for number in range(len(USERS)):
            ours, theirs = context.Pipe()
            arguments = (number, root, sight, calls, theirs, (*self._pipes, ours))
            process = context.Process(target=_serve, args=arguments, daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def perform(self, operation: Operation) -> Outcome:
        """Have the actor that ``operation`` names do it."""
        answer = self._ask(operation.actor, operation)
        if isinstance(answer, Outcome):
            return answer
        return Outcome(str(answer))

    def view(self) -> View:
        """Return the whole tree as root sees it.

        Raises:
            OSError: It cannot be read; :class:`TimeoutError` if it hangs.
        """
        answer = self._ask(0, None)
        if isinstance(answer, dict):
            return answer
        raise TimeoutError(HANGS) if answer == HANGS else OSError(str(answer))

    def close(self) -> None:
        """End the processes; what they hold open is closed afterwards."""
        for pipe in self._pipes:
            with contextlib.suppress(BrokenPipeError):
                pipe.send(_END)
            pipe.close()
        for process in self._processes:
            if not patiently(partial(_ends, process), ANSWER_TIMEOUT_S):
                process.kill()
                process.join()
            process.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _ask(self, actor: int, request: Operation | None) -> object:
        try:
            self._pipes[actor].send(request)
            if not patiently(self._pipes[actor].poll, ANSWER_TIMEOUT_S):
                return HANGS
            return self._pipes[actor].recv()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return DIED


def _ends(process: BaseProcess, seconds: float) -> bool:
    process.join(seconds)
    return not process.is_alive()


def _serve(
    number: int,
    root: Path,
    sight: Sight,
    calls: Calls,
    pipe: Connection,
    others: Sequence[Connection],
) -> None:
    for other in others:  # theirs to close, or nobody sees them end
        other.close()
    uid, gid, groups = USERS[number]
    os.chroot(root)
    os.chdir("/")
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    os.umask(0o022)
    held = Held(sight)
    with contextlib.suppress(EOFError, BrokenPipeError, KeyboardInterrupt):
        while (request := pipe.recv()) != _END:
            if request is None:
                pipe.send(_view_or_error())
            else:
                pipe.send(perform(held, calls, request))


def _view_or_error() -> View | str:
    try:
        return read_view()
    except OSError as error:
        return f"{error.strerror}: {error.filename!r}"
