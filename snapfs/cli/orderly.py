"""Long work that an interrupt ends in good order, however often it comes."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from types import FrameType
from typing import Final, TypeVar

import click

from snapfs.waking import Waker

_Result = TypeVar("_Result")

_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def in_order(work: Callable[[], _Result], stop: Callable[[], None]) -> _Result:
    """Return what ``work`` does; at Ctrl-C, SIGTERM or SIGHUP call ``stop`` meanwhile.

    It runs on a thread of its own, where no signal's exception can tear it apart:
    neither halfway through a step, nor while it cleans up. Signals that are ignored
    stay so.

    Raises:
        click.Abort: It was stopped, and has ended with an error for that.
        BaseException: What ``work`` raised.
    """
    future: Future[_Result] = Future()

    asked = threading.Event()

    def ask() -> None:
        asked.set()
        stop()

    with _calling(ask), Waker() as waker:

        def run() -> None:
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - for the other thread to see
                future.set_exception(error)
            waker.wake()

        thread = threading.Thread(target=run, name="work", daemon=True)
        thread.start()
        while not future.done():
            waker.wait()
        thread.join()
    error = future.exception()
    if error is not None and asked.is_set():
        raise click.Abort from error
    return future.result()


@contextlib.contextmanager
def _calling(action: Callable[[], None]) -> Iterator[None]:
    """Answer the signals with ``action`` during the block."""

    def answer(_number: int, _frame: FrameType | None) -> None:
        action()

    before = {}
    if threading.current_thread() is threading.main_thread():  # nobody else may
        for number in _ENDING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, answer)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
