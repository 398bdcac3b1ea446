"""The one table from errors to exit codes."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import click

from snapfs import errors


class ExitCode(enum.IntEnum):
    """What the status of a finished ``snapfs`` means to a script."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    ALREADY_EXISTS = 4
    FAILED_PRECONDITION = 5
    UNAVAILABLE = 6
    DATA_LOSS = 7
    INTERRUPTED = 130  # 128 + SIGINT, as shells report it


EXIT_CODES: Final[Mapping[type[BaseException], ExitCode]] = MappingProxyType(
    {
        errors.InvalidArgumentError: ExitCode.USAGE,
        errors.NotFoundError: ExitCode.NOT_FOUND,
        errors.AlreadyExistsError: ExitCode.ALREADY_EXISTS,
        errors.FailedPreconditionError: ExitCode.FAILED_PRECONDITION,
        errors.UnavailableError: ExitCode.UNAVAILABLE,
        errors.PermissionDeniedError: ExitCode.FAILED,
        errors.ResourceExhaustedError: ExitCode.FAILED,
        errors.UnimplementedError: ExitCode.UNAVAILABLE,
        errors.UnsafeLayerError: ExitCode.DATA_LOSS,
        errors.DataLossError: ExitCode.DATA_LOSS,
        errors.SnapfsError: ExitCode.FAILED,
        FileNotFoundError: ExitCode.NOT_FOUND,
        FileExistsError: ExitCode.ALREADY_EXISTS,
        click.UsageError: ExitCode.USAGE,
        click.Abort: ExitCode.INTERRUPTED,
        KeyboardInterrupt: ExitCode.INTERRUPTED,
    }
)


def exit_code(error: BaseException) -> ExitCode:
    """Return the exit code of ``error``: that of the nearest class in the table."""
    for base in type(error).__mro__:
        if base in EXIT_CODES:
            return EXIT_CODES[base]
    return ExitCode.FAILED
