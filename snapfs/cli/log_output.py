"""Where a command's log goes: to standard error, as its messages do."""

from __future__ import annotations

import logging


def set_up_logging(*, is_quiet: bool, verbosity: int) -> None:
    """Send the library's log to standard error; ``serve`` replaces this."""
    levels = [logging.WARNING, logging.INFO, logging.DEBUG]
    level = logging.ERROR if is_quiet else levels[min(verbosity, 2)]
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("snapfs: %(message)s"))
    log = logging.getLogger("snapfs")
    log.handlers[:] = [handler]
    log.setLevel(level)
