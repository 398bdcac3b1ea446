"""A logger that loads ``logging`` when there is something to say.

A short command says nothing, and would spend a tenth of its time on the module.
"""

from __future__ import annotations

import sys


class Log:
    """What a module says to who operates the host, by the logger of its name."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def info(self, text: str, *values: object) -> None:
        """Say what is as it should be; ``values`` go into ``text``, as in logging."""
        import logging

        logging.getLogger(self._name).info(text, *values, stacklevel=2)

    def warning(self, text: str, *values: object) -> None:
        """Say what is wrong and has no other consequence."""
        import logging

        logging.getLogger(self._name).warning(text, *values, stacklevel=2)

    def exception(self, text: str, *values: object) -> None:
        """Say what went wrong, with the error that is being handled."""
        import logging

        log = logging.getLogger(self._name)
        log.error(text, *values, exc_info=sys.exception(), stacklevel=2)
