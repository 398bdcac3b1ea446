"""A piece of a case that runs in a process of its own, or as another user."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def in_child(action: Callable[[], T]) -> T:
    """Run ``action`` in a child process; return its result, or raise its exception.

    Both travel by pickle.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            outcome = pickle.dumps((True, action()))
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is told
            outcome = pickle.dumps((False, error))
        # What a pipe holds without a reader is far more than these results.
        os.write(writer, outcome)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        raw = pipe.read()
    os.waitpid(child, 0)
    succeeded, outcome = pickle.loads(raw)
    if succeeded:
        return outcome  # type: ignore[no-any-return]  # pickle knows no types
    raise outcome


def as_user(
    action: Callable[[], T], uid: int, gid: int, groups: Sequence[int] = ()
) -> T:
    """Run ``action`` in a child without privilege, as in :func:`in_child`."""

    def run() -> T:
        os.setgroups(list(groups))
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        return action()

    return in_child(run)
