"""The log of a service: text for people, JSON for collectors."""

from __future__ import annotations

import json
import logging
import time
from typing import Final

_FIELDS: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}


class JsonFormatter(logging.Formatter):
    """One JSON object a line; what a call passes as ``extra`` becomes fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        entry: dict[str, object] = {
            "time": rfc3339(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields = record.__dict__.items()
        entry |= {name: value for name, value in fields if name not in _FIELDS}
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


class TextFormatter(logging.Formatter):
    """Time, level, message; a traceback below it where there is one."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802  # logging's name
        """Return RFC 3339 in UTC."""
        return rfc3339(record.created)


def rfc3339(seconds: float) -> str:
    """Return a time in UTC to the millisecond."""
    whole = int(seconds)
    day = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
    return f"{day}.{int((seconds - whole) * 1000):03d}Z"


def set_up_service_log(log_format: str, level: str) -> None:
    """Send everything that is logged to standard error, in ``log_format``."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    log = logging.getLogger("snapfs")
    log.handlers[:] = [handler]
    log.setLevel(level.upper())
