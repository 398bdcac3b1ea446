"""The start and the end of the program, when an interrupt finds nobody to catch it."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from snapfs.cli.session import Library

_INTERRUPTED: Final = 130  # as in snapfs.cli.exit_codes, which may not be loaded yet
_STANDARD_ERROR: Final = 2  # sys.stderr may be at work on something else


def main(arguments: Sequence[str] | None = None, library: Library | None = None) -> int:
    """Run the program; return its exit code. Prints every error as one line.

    Without ``arguments`` they are those of the process, which ends afterwards.
    """
    try:
        with _interrupts_end_the_process():
            # Here: it takes most of the time that a short command takes.
            from snapfs.cli.program import run
        code = run(arguments, library)
        if arguments is None:
            _let_interrupts_end_the_process()
    except KeyboardInterrupt:  # between two of these lines
        _tell()
        return _INTERRUPTED
    return code


@contextlib.contextmanager
def _interrupts_end_the_process() -> Iterator[None]:
    """Let SIGINT end the process at once during the block.

    An exception in the middle of an import comes out as something else, or is only
    printed (C extensions, callbacks of the import system).
    """
    is_ours = _let_interrupts_end_the_process()
    try:
        yield
    finally:
        if is_ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _let_interrupts_end_the_process() -> bool:
    """Take SIGINT over from Python's own handler; return whether it had it.

    Where it is ignored, as in the background of a shell, or has another handler, it
    stays so.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return False
    try:
        signal.signal(signal.SIGINT, _leave)
    except ValueError:  # not in the main thread, which alone gets the exception
        return False
    return True


def _leave(_number: int, _frame: FrameType | None) -> None:
    _tell()
    os._exit(_INTERRUPTED)


def _tell() -> None:
    with contextlib.suppress(OSError):  # nobody reads it: no reason to stay
        os.write(_STANDARD_ERROR, b"snapfs: interrupted\n")
