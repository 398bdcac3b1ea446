"""The start and the end of the program, when an interrupt finds nobody to catch it."""

from __future__ import annotations

import atexit
import gc
import os
import sys

from snapfs.light_typing import TYPE_CHECKING, Final, NoReturn, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    from snapfs.cli.session import Library

    Program: TypeAlias = Callable[[Sequence[str] | None, Library | None], int]

_YOUNG_OBJECTS: Final = 50_000
_INTERRUPTED: Final = 130  # as in snapfs.cli.exit_codes, which may not be loaded yet
_STANDARD_ERROR: Final = 2  # sys.stderr may be at work on something else


def run_process() -> NoReturn:
    """Run the program as this process, and end the process with its exit code."""
    # The usual 700 would have the collector look through what is being loaded, which
    # stays, a hundred times: a tenth of what a short command takes. So this module
    # itself loads next to nothing before.
    gc.set_threshold(_YOUNG_OBJECTS)
    code = main()
    if _is_watched():
        sys.exit(code)
    # Spare the caller the time in which the interpreter takes itself apart: a fifth of
    # what a short command takes. All that is to be done at the end is done before.
    atexit._run_exitfuncs()  # noqa: SLF001  # there is no public way but the slow one
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue  # closed, or nobody reads it
    os._exit(code)


def _is_watched() -> bool:
    """Whether a profiler or debugger is at work, or a thread that must end first."""
    threading = sys.modules.get("threading")
    has_threads = threading is not None and threading.active_count() > 1
    return has_threads or sys.getprofile() is not None or sys.gettrace() is not None


def main(arguments: Sequence[str] | None = None, library: Library | None = None) -> int:
    """Run the program; return its exit code. Prints every error as one line.

    Without ``arguments`` they are those of the process, which ends afterwards.
    """
    try:
        # An exception in the middle of an import comes out as something else, or is
        # only printed (C extensions, callbacks of the import system).
        is_ours = _let_interrupts_end_the_process()
        try:
            # Here: it takes most of the time that a short command takes.
            run = _program_for(sys.argv[1:] if arguments is None else arguments)
        finally:
            if is_ours:
                _let_interrupts_raise()
        code = run(arguments, library)
        if arguments is None:
            _let_interrupts_end_the_process()
    except KeyboardInterrupt:  # between two of these lines
        _tell()
        return _INTERRUPTED
    return code


def _program_for(words: Sequence[str]) -> Program:
    """Import what answers a command line."""
    if len(words) == 1 and words[0].startswith("-"):
        from snapfs.cli import overview

        if overview.is_answered_here(words):
            return overview.run
    if "mount" in words:
        from snapfs.cli import quick

        line = quick.understood(words)
        if line is not None:
            return lambda _words, library: quick.run(line, library)
    from snapfs.cli.program import run

    return run


def _let_interrupts_end_the_process() -> bool:
    """Have SIGINT end the process at once; return whether Python's handler had it.

    Where it is ignored, as in the background of a shell, or has another handler, it
    stays so.
    """
    import signal

    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return False
    try:
        signal.signal(signal.SIGINT, _leave)
    except ValueError:  # not in the main thread, which alone gets the exception
        return False
    return True


def _let_interrupts_raise() -> None:
    import signal

    signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(_number: int, _frame: FrameType | None) -> None:
    _tell()
    os._exit(_INTERRUPTED)


def _tell() -> None:
    try:
        os.write(_STANDARD_ERROR, b"snapfs: interrupted\n")
    except OSError:
        return  # nobody reads it: no reason to stay
