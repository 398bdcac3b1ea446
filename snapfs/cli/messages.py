"""What to tell the user about an error: one line, never a traceback."""

from __future__ import annotations

import os

import click

from snapfs.errors import SnapfsError


def describe(error: BaseException) -> str:
    """Return one line that says what went wrong with which object."""
    match error:
        case KeyboardInterrupt() | click.Abort():
            return "interrupted"
        case click.UsageError():
            path = error.ctx.command_path if error.ctx else "snapfs"
            message = error.format_message().rstrip(".")
            return f"{message[:1].lower()}{message[1:]} (see '{path} --help')"
        case click.ClickException():
            return error.format_message()
        case SnapfsError():
            return str(error)
        case OSError(strerror=str(reason)):
            names = [error.filename, error.filename2]
            paths = [os.fsdecode(n) for n in names if isinstance(n, str | bytes)]
            return ": ".join([" -> ".join(paths), reason] if paths else [reason])
        case _:
            return (
                f"internal error: {type(error).__name__}: {error}; "
                "'snapfs -v ...' shows where"
            )


def is_expected(error: BaseException) -> bool:
    """Whether ``error`` is no fault of the program."""
    kinds = (SnapfsError, OSError, click.ClickException, click.Abort, KeyboardInterrupt)
    return isinstance(error, kinds)
