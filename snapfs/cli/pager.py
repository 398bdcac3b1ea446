"""Long output on a terminal goes through the user's pager, from its first line on."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from typing import Final

_DEFAULT: Final = "less"

# What git gives less where the user has not said otherwise: leave at once if all fits
# on a screen (F), show colours (R), leave the text on the terminal (X).
_LESS: Final = "FRX"

_COLUMNS: Final = 80  # where a terminal does not know its own width


class Pager:
    """Standard output, lent to a pager from the first call of :meth:`begin` on.

    It begins only where standard output is a terminal. Without a program of the
    user's choice in ``PAGER`` it is ``less``; none is started if that is empty or
    ``cat``, or cannot be run.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._terminal = -1
        self._is_over = False

    @property
    def is_on(self) -> bool:
        """Whether standard output leads to the pager."""
        return self._process is not None

    @property
    def columns(self) -> int:
        """The width of the terminal behind the pager."""
        return os.get_terminal_size(self._terminal).columns or _COLUMNS

    def begin(self) -> None:
        """Start the pager unless it runs, or cannot."""
        if self._process is not None or self._is_over or not sys.stdout.isatty():
            return
        self._is_over = True  # whatever comes of it, there is no second try
        words = shlex.split(os.environ.get("PAGER", _DEFAULT))
        if not words or words == ["cat"]:
            return
        environment = {"LESS": _LESS, **os.environ}
        try:
            self._process = subprocess.Popen(  # noqa: S603  # the user's own choice
                words, stdin=subprocess.PIPE, env=environment
            )
        except OSError:
            return  # no such program: the terminal alone will do
        assert self._process.stdin is not None
        sys.stdout.flush()
        self._terminal = os.dup(sys.stdout.fileno())
        os.dup2(self._process.stdin.fileno(), sys.stdout.fileno())
        self._process.stdin.close()

    def end(self) -> None:
        """Give standard output back, and wait until the user has seen enough.

        Raises:
            BrokenPipeError: The user had, before all was printed.
        """
        if self._process is None:
            return
        process, self._process = self._process, None
        try:
            sys.stdout.flush()
        finally:
            os.dup2(self._terminal, sys.stdout.fileno())
            os.close(self._terminal)
            _wait(process)


def _wait(process: subprocess.Popen[bytes]) -> None:
    """Wait for a pager, which alone decides what an interrupt means."""
    while True:
        try:
            process.wait()
        except KeyboardInterrupt:
            continue
        return
